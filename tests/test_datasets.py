import hashlib
import io
import os
import re
import stat
from collections import Counter
from importlib.resources import files

import numpy as np
import polars as pl
import pytest

from utilities import load_folds, load_movies, load_ratings, load_users, needs, rating_scale, save_parquet
from utilities.datasets import RATINGS_SCHEMA, check_ratings
from utilities.releases import RELEASES, Scale

SCALE = Scale(0.5, 5.0, 0.5)


@pytest.fixture(scope="module")
def all_ratings_df():
    return load_ratings("built-in")


def test_the_sample_is_the_one_its_readme_describes():
    sample = files("utilities") / "sample"
    rows = re.findall(
        r"^\| (\w+\.parquet) .*\| ([\d,]+) \| ([\d,]+) \| (\w{64}) \|$", (sample / "README.md").read_text(), re.M
    )
    assert [name for name, *_ in rows] == ["ratings.parquet", "movies.parquet"]
    for name, n_rows, n_bytes, checksum in rows:
        content = (sample / name).read_bytes()
        assert len(content) == int(n_bytes.replace(",", ""))
        assert hashlib.sha256(content).hexdigest() == checksum
        assert pl.read_parquet(content).height == int(n_rows.replace(",", ""))


def test_ratings_have_the_promised_columns_counts_and_order(all_ratings_df):
    assert all_ratings_df.schema == RATINGS_SCHEMA
    assert (all_ratings_df.height, all_ratings_df["userId"].n_unique(), all_ratings_df["movieId"].n_unique()) == (
        100_004,
        671,
        9_066,
    )
    assert all_ratings_df.equals(all_ratings_df.sort("userId", "timestamp", "movieId"))
    assert all_ratings_df["rating"].mean() == pytest.approx(3.543608, abs=1e-6)
    assert all_ratings_df["rating"].std() == pytest.approx(1.058064, abs=1e-6)


def test_movies_have_the_promised_columns_and_gaps():
    movies_df = load_movies("built-in")
    assert movies_df.schema == {
        "movieId": pl.Int64,
        "title": pl.String,
        "year": pl.Int32,
        "genres": pl.List(pl.String),
    }
    assert movies_df.height == movies_df["movieId"].n_unique() == 9_066
    assert movies_df.select("title", "year").null_count().row(0) == (5, 5)
    assert movies_df["genres"].null_count() == 0
    assert movies_df.filter(pl.col("genres").list.len() == 0).height == 17
    assert "(no genres listed)" not in movies_df["genres"].explode().to_list()
    assert movies_df.row(by_predicate=pl.col("movieId") == 296) == (
        296,
        "Pulp Fiction",
        1994,
        ["Comedy", "Crime", "Drama", "Thriller"],
    )


def test_every_rated_movie_is_listed(all_ratings_df):
    assert all_ratings_df.join(load_movies("built-in"), on="movieId", how="anti").is_empty()


def test_a_sample_keeps_whole_users_and_is_always_the_same(all_ratings_df, monkeypatch):
    monkeypatch.setenv("MOVIELENS_SAMPLE", "5000")
    sample_df = load_ratings()
    assert sample_df.height == 5000
    assert sample_df.equals(load_ratings())
    assert sample_df.equals(sample_df.sort("userId", "timestamp", "movieId"))
    assert sample_df.join(all_ratings_df, on=sample_df.columns, how="anti").is_empty()
    kept_df = sample_df.group_by("userId").len("kept").join(all_ratings_df.group_by("userId").len("all"), on="userId")
    assert kept_df.filter(pl.col("kept") < pl.col("all")).height <= 1
    assert kept_df.height > 10


def test_the_users_of_a_sample_are_the_first_that_numpy_draws_with_seed_42(all_ratings_df, monkeypatch):
    counts = Counter(all_ratings_df["userId"].to_list())
    expected, n_left = {}, 5000
    for user in np.random.default_rng(42).permutation(range(1, 672)).tolist():
        expected[user] = min(counts[user], n_left)
        n_left -= expected[user]
        if not n_left:
            break
    monkeypatch.setenv("MOVIELENS_SAMPLE", "5000")
    assert Counter(load_ratings()["userId"].to_list()) == expected
    assert list(expected)[:5] == [423, 625, 358, 418, 101]


def test_a_sample_larger_than_the_data_takes_all(all_ratings_df, monkeypatch):
    monkeypatch.setenv("MOVIELENS_SAMPLE", "1000000")
    assert load_ratings().equals(all_ratings_df)


@pytest.mark.parametrize(
    "load", [load_ratings, load_movies, load_users, load_folds, lambda name: needs("titles", name)]
)
def test_an_unknown_dataset_is_refused_with_the_known_ones(load):
    with pytest.raises(ValueError, match="unknown dataset 'ml-25'; known: built-in"):
        load("ml-25")


def test_valid_ratings_come_out_sorted_by_user_time_and_movie(ratings_df):
    before_df = ratings_df.clone()
    assert check_ratings(ratings_df, "test", SCALE).rows() == [
        (1, 10, 4.5, 300),
        (1, 30, 5.0, 300),
        (2, 10, 3.0, 200),
        (2, 20, 0.5, 400),
    ]
    assert ratings_df.equals(before_df)


@pytest.mark.parametrize("value", [float("nan"), 0.0, 7.0, -1.0, float("inf")])
def test_what_is_no_rating_is_refused_with_user_and_movie(ratings_df, value):
    ratings_df = ratings_df.with_columns(rating=pl.Series([0.5, 5.0, value, 4.5]))
    with pytest.raises(
        ValueError, match=rf"my file: 1 ratings outside 0\.5 to 5\.0 stars, the first {value} by user 2 for movie 10"
    ):
        check_ratings(ratings_df, "my file", SCALE)


def test_what_is_a_rating_hangs_on_the_scale(ratings_df):
    with pytest.raises(
        ValueError, match=r"my file: 1 ratings outside 1 to 5 stars, the first 0\.5 by user 2 for movie 20"
    ):
        check_ratings(ratings_df, "my file", Scale(1, 5, 1))
    with pytest.raises(ValueError, match=r"2 ratings outside 0\.5 to 4 stars, the first 5\.0 by user 1 for movie 30"):
        check_ratings(ratings_df, "my file", Scale(0.5, 4, None))


@pytest.mark.parametrize("value", [1_260_759_144_000, -1])
def test_times_that_are_no_unix_seconds_are_refused_with_their_column_and_unit(ratings_df, value):
    ratings_df = ratings_df.with_columns(timestamp=pl.Series([400, 300, value, 300]))
    expected = f"1 timestamps outside 0 to 100000000000 Unix seconds .not milliseconds., the first {value} by user 2"
    with pytest.raises(ValueError, match=f"my file: {expected} for movie 10; correct or drop them"):
        check_ratings(ratings_df, "my file", SCALE)


def test_a_dataset_asked_for_by_name_is_loaded_whatever_the_environment_names(all_ratings_df, monkeypatch):
    monkeypatch.setenv("MOVIELENS_DATASET", "ml-26m")
    assert load_ratings("built-in").equals(all_ratings_df)
    assert load_movies("built-in").height == 9_066


def test_every_release_has_its_scale(monkeypatch):
    whole_stars = {name for name in RELEASES if rating_scale(name) == (1.0, 5.0, 1.0)}
    half_stars = {name for name in RELEASES if rating_scale(name) == (0.5, 5.0, 0.5)}
    assert whole_stars == {"ml-100k", "ml-1m"}
    assert half_stars == set(RELEASES) - whole_stars
    assert rating_scale() == rating_scale("built-in")
    monkeypatch.setenv("MOVIELENS_DATASET", "ml-1m")
    assert rating_scale() == rating_scale("ml-1m")


HOLDERS = {"published folds": ["ml-100k"], "user descriptions": ["ml-100k", "ml-1m"]}


@pytest.mark.parametrize("dataset", RELEASES)
def test_what_a_dataset_has_is_not_skipped_and_what_it_lacks_is_with_a_line_that_says_so(dataset, capsys):
    for what in ("timestamps", "titles", "genres", "published folds", "user descriptions"):
        held = dataset in HOLDERS.get(what, RELEASES)
        assert needs(what, dataset) is held
        assert bool(capsys.readouterr().out) is not held


def test_the_line_names_the_datasets_that_have_what_is_lacking(capsys, monkeypatch):
    needs("published folds")
    monkeypatch.setenv("MOVIELENS_DATASET", "ml-25m")
    needs("user descriptions")
    assert capsys.readouterr().out == (
        "skipped: built-in has no published folds (ml-100k has)\n"
        "skipped: ml-25m has no user descriptions (ml-100k, ml-1m have)\n"
    )
    with pytest.raises(
        ValueError, match="nothing has 'folds'; known: genres, published folds, timestamps, titles, user"
    ):
        needs("folds")


@pytest.mark.parametrize(("load", "what"), [(load_folds, "published folds"), (load_users, "user descriptions")])
def test_a_table_that_a_release_lacks_is_refused_with_the_releases_that_have_it(load, what):
    for dataset in ("built-in", "ml-25m"):
        names = re.escape(f"{dataset} has no {what} ({', '.join(HOLDERS[what])} ha")
        with pytest.raises(ValueError, match=rf"{names}.*; set MOVIELENS_DATASET, or ask utilities.needs\('{what}'\)"):
            load(dataset)


@pytest.mark.parametrize("scale", [(0.5, 5, 0.5), (1, 5, 1), (0, 5, None)])
def test_up_to_five_are_stars(scale):
    assert Scale(*scale).unit == "stars"


@pytest.mark.parametrize("scale", [(1, 10, 1), (-10, 10, None), (0, 100, 1), (-5, 5, 1), (0, 1, 0.1)])
def test_all_else_are_points(scale):
    assert Scale(*scale).unit == "points"


def test_bins_are_centred_on_the_ratings_that_can_be_given():
    assert Scale(1, 5, 1).bins == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert SCALE.bins == [0.25 + i / 2 for i in range(11)]
    assert Scale(0, 1, 0.1).bins == pytest.approx([-0.05 + i / 10 for i in range(12)])
    assert Scale(-10, 10, None).bins == list(range(-10, 11))


@pytest.mark.parametrize("column", RATINGS_SCHEMA.names())
def test_nulls_are_refused_with_their_column_and_number(ratings_df, column):
    ratings_df = ratings_df.with_columns(pl.when(pl.col("movieId") == 10).then(None).otherwise(column).alias(column))
    with pytest.raises(ValueError, match=f"my file: 2 nulls in column '{column}'"):
        check_ratings(ratings_df, "my file", SCALE)


def test_missing_and_unknown_columns_are_refused_by_name(ratings_df):
    with pytest.raises(ValueError, match=r"my file: missing columns \['rating'\], unknown columns \['stars'\]"):
        check_ratings(ratings_df.rename({"rating": "stars"}), "my file", SCALE)
    with pytest.raises(ValueError, match=r"missing columns \['timestamp'\], unknown columns \[\]"):
        check_ratings(ratings_df.drop("timestamp"), "my file", SCALE)
    with pytest.raises(ValueError, match=r"missing columns \[\], unknown columns \['tag'\]"):
        check_ratings(ratings_df.with_columns(tag=pl.lit("x")), "my file", SCALE)


def test_a_column_of_another_type_is_refused_with_both_types(ratings_df):
    with pytest.raises(ValueError, match="my file: column 'rating' is String, expected Float64"):
        check_ratings(ratings_df.cast({"rating": pl.String}), "my file", SCALE)


def test_an_empty_frame_is_refused(ratings_df):
    with pytest.raises(ValueError, match="my file: no ratings in it"):
        check_ratings(ratings_df.clear(), "my file", SCALE)


def test_of_duplicates_the_latest_is_kept_and_the_warning_counts_the_others(ratings_df):
    earlier_df = pl.DataFrame(
        {"userId": [1, 1, 2], "movieId": [10, 10, 20], "rating": [1.0, 2.0, 3.0], "timestamp": [100, 200, 399]}
    )
    with pytest.warns(UserWarning, match="my file: 3 earlier ratings of a movie by the same user dropped"):
        checked_df = check_ratings(pl.concat([ratings_df, earlier_df]), "my file", SCALE)
    assert checked_df.equals(check_ratings(ratings_df, "my file", SCALE))


def test_three_rows_are_valid_ratings(ratings_df):
    assert check_ratings(ratings_df.head(3), "test", SCALE).height == 3


def test_a_saved_frame_reads_back_and_replaces_the_older_file(tmp_path, ratings_df):
    save_parquet(ratings_df.head(1), tmp_path / "ratings.parquet")
    save_parquet(ratings_df, tmp_path / "ratings.parquet")
    assert pl.read_parquet(tmp_path / "ratings.parquet").equals(ratings_df)
    assert [path.name for path in tmp_path.iterdir()] == ["ratings.parquet"]


@pytest.fixture
def umask():
    """Let the group read, and nobody else."""
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_who_may_read_a_saved_file_is_for_the_umask_to_say_or_for_the_file_it_replaces(tmp_path, ratings_df, umask):
    path = tmp_path / "ratings.parquet"
    save_parquet(ratings_df, path)
    assert stat.filemode(path.stat().st_mode) == "-rw-r-----"
    path.chmod(0o664)
    save_parquet(ratings_df, path)
    assert stat.filemode(path.stat().st_mode) == "-rw-rw-r--"


def test_who_reads_a_file_that_is_replaced_reads_the_older_one_to_its_end(tmp_path, ratings_df):
    path = tmp_path / "ratings.parquet"
    save_parquet(ratings_df, path)
    with path.open("rb") as file:
        save_parquet(ratings_df.head(1), path)
        assert pl.read_parquet(io.BytesIO(file.read())).equals(ratings_df)


def test_a_write_that_breaks_off_half_way_leaves_the_older_file_whole_and_nothing_beside_it(tmp_path, ratings_df):
    resource = pytest.importorskip("resource", reason="Windows cannot limit the size of files")
    save_parquet(ratings_df, tmp_path / "ratings.parquet")
    large_df = pl.DataFrame({"x": np.random.default_rng(0).normal(size=20_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*/ratings\.parquet: .*File too large"):
            save_parquet(large_df, tmp_path / "ratings.parquet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert pl.read_parquet(tmp_path / "ratings.parquet").equals(ratings_df)
    assert [path.name for path in tmp_path.iterdir()] == ["ratings.parquet"]
