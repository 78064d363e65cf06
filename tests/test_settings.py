import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from utilities import data_folder, settings
from utilities.settings import ROOT

VARIABLES = [
    "MOVIELENS_DATASET",
    "MOVIELENS_TOP_MOVIES",
    "MOVIELENS_SAMPLE",
    "MOVIELENS_ACCELERATOR",
    "MOVIELENS_DATA_DIR",
    "MOVIELENS_URL",
]


@pytest.fixture
def unset(monkeypatch):
    for name in [*VARIABLES, "MLFLOW_TRACKING_URI"]:
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_the_built_in_sample_and_files_at_the_repository_root(unset):
    config = settings()
    assert (config.dataset, config.top_movies, config.sample, config.batch_size) == ("built-in", 500, None, 1024)
    assert config.accelerator == "auto"
    assert config.root == Path(__file__).parents[1]
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
    monkeypatch.setenv("MOVIELENS_ACCELERATOR", "cpu")
    monkeypatch.setenv("MOVIELENS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    config = settings()
    assert config.accelerator == "cpu"
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


@pytest.mark.parametrize("name, value", [("DATASET", "ml-1m"), ("TOP_MOVIES", "50"), ("SAMPLE", "20000")])
def test_elsewhere_they_say_what_the_prose_is_of(unset, monkeypatch, name, value):
    assert settings().on_the_sample
    monkeypatch.setenv(f"MOVIELENS_{name}", value)
    assert not settings().on_the_sample
    assert str(settings()).splitlines()[-1].startswith("prose       and titles of figures speak of the built-in sample")


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


def test_an_unknown_accelerator_is_refused_with_the_known_ones(monkeypatch):
    monkeypatch.setenv("MOVIELENS_ACCELERATOR", "gpu")
    with pytest.raises(ValueError, match="MOVIELENS_ACCELERATOR: 'gpu' is none of auto, cpu, cuda, mps"):
        settings()


def test_relative_places_are_those_of_the_repository_wherever_python_runs(environment, tmp_path):
    relative = {"MLFLOW_TRACKING_URI": "sqlite:///my/../mine.db?timeout=5", "MOVIELENS_DATA_DIR": "mydata"}
    script = "from utilities import settings; print(settings().tracking_uri, settings().data_dir, settings().root)"
    expected = f"sqlite:///{ROOT}/mine.db?timeout=5 {ROOT}/mydata {ROOT}\n"
    for folder in (ROOT, ROOT / "notebooks", tmp_path):
        command = [sys.executable, "-c", script]
        assert subprocess.check_output(command, env=environment | relative, cwd=folder, text=True) == expected


@pytest.mark.parametrize("uri", ["sqlite:////srv/mlflow.db", "sqlite://", "postgresql://db/runs", "databricks"])
def test_an_absolute_store_is_left_as_it_is(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert settings().tracking_uri == uri


@pytest.mark.parametrize("uri", ["mlruns", "/srv/mlruns", "./mlflow.db", "file:///srv/mlruns"])
def test_a_folder_of_runs_is_refused_because_mlflow_no_longer_has_them(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(
        ValueError, match=f"MLFLOW_TRACKING_URI: '{uri}' would be a folder.*name a database, such as sqlite"
    ):
        settings()


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "MOVIELENS_URL"])
@pytest.mark.parametrize(
    "uri", ["{}://ann:s3c/r@et@host:80/runs", "{}://s3cret@host:80/runs", "{}://ann:s3c ret@host:80/runs"]
)
def test_no_secret_of_an_address_is_printed(monkeypatch, name, uri):
    for login in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(login, "")  # put back after the test
    for scheme in ("http", "https", "ftp", "postgresql"):
        monkeypatch.setenv(name, uri.format(scheme))
        try:
            printed = f"{settings()} {settings()!r} {[settings()]}"
        except ValueError as error:
            printed = str(error)
        assert "://***@host:80/runs" in printed or "://host:80/runs" in printed
        assert not re.search("s3c|ret|ann:", printed)


def test_the_login_of_a_server_is_handed_to_mlflow_and_a_database_keeps_its_own(monkeypatch):
    for login in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(login, "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:s3cr%40t@host/mlflow")
    assert settings().tracking_uri == "https://host/mlflow"
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("ann", "s3cr@t")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ann:s3cr3t@host/runs")
    assert settings().tracking_uri == "postgresql://ann:s3cr3t@host/runs"


def test_an_explicit_dataset_and_the_data_folder_need_no_valid_dataset_in_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MOVIELENS_DATASET", "bogus")
    monkeypatch.setenv("MOVIELENS_DATA_DIR", str(tmp_path / "data"))
    assert settings("ml-1m").dataset == "ml-1m"
    assert data_folder() == tmp_path / "data"


def test_the_version_is_that_of_the_checkout_or_of_what_is_installed(environment, tmp_path):
    copytree(ROOT / "utilities", tmp_path / "utilities", ignore=ignore_patterns("__pycache__"))
    (tmp_path / "utilities" / "__init__.py").write_text("")  # it needs what is installed
    script = "from utilities.settings import package_version; print(package_version())"

    def version(project, *options):
        (tmp_path / "pyproject.toml").write_text(project)
        command = [sys.executable, *options, "-c", script]
        return subprocess.check_output(command, env={**environment, "PYTHONPATH": ""}, cwd=tmp_path, text=True).strip()

    assert version('[project]\nname = "movielens-notebook-course"\nversion = "9.9"') == "9.9"
    other = '[project]\nname = "of_another"\nversion = "5"'
    assert version(other) == metadata.version("movielens-notebook-course")
    assert version(other, "-S") == "not installed"  # without the folder of installed packages
