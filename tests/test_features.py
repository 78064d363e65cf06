import polars as pl
import pytest
import torch
from torch import tensor

from utilities import count_features, movie_features, user_features


def test_movies_are_described_by_standardised_years_and_genres():
    movies_df = pl.DataFrame(
        {"year": [1990, 2000, None, 2010], "genres": [["Drama"], ["Drama", "War"], [], ["Drama"]]},
        schema_overrides={"year": pl.Int32, "genres": pl.List(pl.String)},
    )
    features = movie_features(movies_df)
    assert features.shape == (4, 5)  # ones, year, Drama, War, the year's square
    assert torch.equal(features[:, 0], torch.ones(4))
    assert torch.allclose(features[:, 1:].mean(0), torch.zeros(4), atol=1e-6)
    assert torch.allclose(features[:, 1:].std(0, correction=0), torch.ones(4), atol=1e-5)
    assert features[2, 1] == 0  # no year: the mean year
    assert torch.allclose(features[:, 3], tensor([-1.0, 3.0, -1.0, -1.0]) / 3**0.5)


def test_a_movie_that_nobody_has_described_is_of_no_genre():
    years, described = [1990, 2000, 2010], [["Drama"], ["War"]]
    schema = {"year": pl.Int32, "genres": pl.List(pl.String)}
    null_df, empty_df = (pl.DataFrame({"year": years, "genres": [*described, last]}, schema) for last in (None, []))
    assert torch.equal(movie_features(null_df), movie_features(empty_df))


def test_what_does_not_vary_is_no_feature():
    movies_df = pl.DataFrame(
        {"year": [None, None], "genres": [["Drama"], ["Drama"]]}, schema_overrides={"year": pl.Int32}
    )
    assert torch.equal(movie_features(movies_df), tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 0]]))


def test_users_are_described_by_standardised_age_gender_and_occupation():
    users_df = pl.DataFrame(
        {"age": [20, 40, 60], "gender": ["M", "F", "M"], "occupation": ["artist", "artist", "artist"]}
    )
    features = user_features(users_df)
    assert features.shape == (3, 6)  # ones, age, F, M, artist, the age's square
    assert torch.equal(features[:, 0], torch.ones(3))
    assert features[:, 1].tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5], abs=1e-5)
    assert torch.allclose(features[:, 2], -features[:, 3])
    assert torch.equal(features[:, 4], torch.zeros(3))  # what does not vary
    assert features[:, 5].tolist() == pytest.approx([0.5**0.5, -(2**0.5), 0.5**0.5], abs=1e-5)


def test_counts_say_how_much_was_rated_and_of_which_kind_and_nothing_of_the_stars():
    train_df = pl.DataFrame({"userIdMapped": [0, 0, 1], "movieIdMapped": [0, 1, 1], "rating": [5.0, 1.0, 3.0]})
    movies = tensor([[1.0, -1.0], [1.0, 1.0]])
    of_users, of_movies = count_features(train_df, torch.ones(3, 1), movies)
    assert of_users.shape == (3, 3) and of_movies.shape == (2, 3)
    assert torch.equal(of_users[:, :1], torch.ones(3, 1)) and torch.equal(of_movies[:, :2], movies)
    counts, kinds = tensor([2.0, 1.0, 0.0]).log1p(), tensor([0.0, 1.0, 0.0])  # the last has rated nothing
    expected = torch.stack([(c - c.mean()) / c.std(correction=0) for c in (counts, kinds)], 1)
    assert torch.allclose(of_users[:, 1:], expected, atol=1e-5)
    assert of_movies[:, 2].tolist() == pytest.approx([-1, 1], abs=1e-5)
    other_df = train_df.with_columns(rating=pl.lit(2.0))
    assert all(map(torch.equal, count_features(other_df, torch.ones(3, 1), movies), (of_users, of_movies)))
