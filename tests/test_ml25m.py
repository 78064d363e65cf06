"""The reference tables of the real ml-25m, where it is present: as archive or converted, in the repository's data folder."""

import pytest

import utilities
from utilities.settings import ROOT

FILES = [ROOT / "data" / name for name in ("ml-25m.zip", "ml-25m.ratings.parquet")]
pytestmark = [
    pytest.mark.ml25m,
    pytest.mark.skipif(
        not any(file.exists() for file in FILES), reason=f"neither of {', '.join(map(str, FILES))} is there"
    ),
]


@pytest.fixture(autouse=True)
def real_data(monkeypatch):
    monkeypatch.setenv("MOVIELENS_DATA_DIR", str(ROOT / "data"))


@pytest.fixture
def torch_data():
    return utilities.load_torch_data("ml-25m")


def test_ratings_are_those_of_the_reference():
    ratings_df = utilities.load_ratings("ml-25m")
    assert ratings_df.height == 25_000_095
    assert ratings_df.head(5).rows() == [
        (1, 5952, 4.0, 1147868053),
        (1, 2012, 2.5, 1147868068),
        (1, 2011, 2.5, 1147868079),
        (1, 1653, 4.0, 1147868097),
        (1, 1250, 4.0, 1147868414),
    ]
    assert ratings_df.row(-1) == (162541, 1201, 3.0, 1240953800)
    stars = ratings_df["rating"]
    assert stars.mean() == pytest.approx(3.533854, abs=1e-6)
    assert stars.std() == pytest.approx(1.060744, abs=1e-6)
    assert [stars.quantile(q) for q in (0.25, 0.5, 0.75)] == [3.0, 3.5, 4.0]
    assert ratings_df["userId"].n_unique() == 162_541
    assert ratings_df["movieId"].n_unique() == 59_047


def test_the_50_most_rated_movies_are_those_of_the_reference(torch_data):
    ratings_df, users_df, movies_df = torch_data
    assert ratings_df.height == 2_544_549
    assert (users_df.height, movies_df.height) == (157_481, 50)
    assert movies_df["movieId"].max() == 79132
    movies = dict(movies_df.rows())
    assert {movie: movies[movie] for movie in (5952, 296, 150, 3578, 1136)} == {
        5952: 46,
        296: 7,
        150: 5,
        3578: 42,
        1136: 25,
    }
    assert users_df.row(-1) == (162541, 157480)


def test_the_split_is_that_of_the_reference(torch_data):
    train_df, val_df, test_df = utilities.split_train_test(torch_data[0])
    assert (train_df.height, val_df.height, test_df.height) == (1_781_184, 508_910, 254_455)
    assert train_df.select("userId", "movieId", "rating").row(0) == (5150, 79132, 2.5)
    assert train_df["rating"].mean() == pytest.approx(3.979833, abs=1e-6)
    assert train_df["rating"].head(100_000).mean() == pytest.approx(3.977185, abs=1e-6)


def test_the_batches_are_those_of_the_reference(torch_data, monkeypatch):
    monkeypatch.setenv("MOVIELENS_DATASET", "ml-25m")
    assert [len(loader) for loader in utilities.get_data_loaders(torch_data[0])] == [435, 125, 63]


def test_movies_have_titles_years_and_genres():
    movies_df = utilities.load_movies("ml-25m")
    assert movies_df.height == 62_423
    assert movies_df.row(0) == (1, "Toy Story", 1995, ["Adventure", "Animation", "Children", "Comedy", "Fantasy"])
