from pathlib import Path

import pytest

from utilities import data_folder, settings
from utilities.settings import ROOT

VARIABLES = ["MOVIELENS_DATASET", "MOVIELENS_TOP_MOVIES", "MOVIELENS_SAMPLE", "MOVIELENS_DATA_DIR"]


@pytest.fixture
def unset(monkeypatch):
    for name in [*VARIABLES, "MLFLOW_TRACKING_URI"]:
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_the_built_in_sample_and_files_at_the_repository_root(unset):
    config = settings()
    assert (config.dataset, config.top_movies, config.sample, config.batch_size) == ("built-in", 500, None, 1024)
    assert config.data_dir == Path(__file__).parents[1] / "data"
    assert config.tracking_uri == f"sqlite:///{Path(__file__).parents[1] / 'mlflow.db'}"


def test_an_empty_variable_counts_as_unset(unset, monkeypatch):
    expected = settings()
    for name in [*VARIABLES, "MLFLOW_TRACKING_URI"]:
        monkeypatch.setenv(name, "")
    assert settings() == expected


def test_every_variable_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("MOVIELENS_TOP_MOVIES", "7")
    monkeypatch.setenv("MOVIELENS_SAMPLE", "1000")
    monkeypatch.setenv("MOVIELENS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    config = settings()
    assert (config.top_movies, config.sample) == (7, 1000)
    assert (config.data_dir, config.tracking_uri) == (tmp_path, "http://127.0.0.1:5000")


def test_all_movies_are_asked_for_by_the_word_all(monkeypatch):
    monkeypatch.setenv("MOVIELENS_TOP_MOVIES", "all")
    assert settings().top_movies is None


def test_settings_print_one_a_line_without_the_repository_path(unset):
    assert str(settings()).splitlines() == [
        "dataset     built-in",
        "top movies  500",
        "sample      all ratings",
        "batch size  1024",
        "data        data",
        "tracking    sqlite:///mlflow.db",
    ]
    assert str(ROOT) not in str(settings())


def test_an_unknown_dataset_is_refused_with_the_known_ones(monkeypatch):
    monkeypatch.setenv("MOVIELENS_DATASET", "ml-25")
    with pytest.raises(ValueError, match=r"unknown dataset 'ml-25'; known: built-in\b.*MOVIELENS_DATASET"):
        settings()
    assert settings("built-in").dataset == "built-in"


@pytest.mark.parametrize("name", ["MOVIELENS_TOP_MOVIES", "MOVIELENS_SAMPLE"])
@pytest.mark.parametrize("text", ["many", "-5", "0", "1.5", "1e3", "nan", " "])
def test_a_count_that_is_no_whole_number_of_at_least_1_is_refused_by_name(monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    with pytest.raises(ValueError, match=rf"{name}: '{text}' is not a whole number of at least 1"):
        settings()


def test_the_data_folder_is_made_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("MOVIELENS_DATA_DIR", str(tmp_path / "new"))
    folder = data_folder("embeddings", "today")
    assert folder == tmp_path / "new" / "embeddings" / "today"
    assert folder.is_dir()
    assert data_folder("embeddings", "today") == folder


def test_a_data_folder_that_cannot_be_made_is_refused_by_name(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MOVIELENS_DATA_DIR", str(tmp_path / "file" / "data"))
    with pytest.raises(OSError, match=rf"{tmp_path}/file/data: Not a directory; set MOVIELENS_DATA_DIR"):
        data_folder()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
