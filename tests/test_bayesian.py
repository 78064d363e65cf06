from dataclasses import replace

import polars as pl
import pytest
import torch
from torch import tensor

from utilities import (
    BayesianFactorization,
    BiasBaseline,
    load_movies,
    load_torch_data,
    movie_features,
    rating_metrics,
    split_train_test,
)
from utilities.bayesian import _bags, _draw_prior, draw_rows
from utilities.releases import Scale

SCALE = Scale(0.5, 5.0, 0.5)
N_USERS, N_MOVIES, NOISE = 120, 80, 0.4


def planted_ratings_df(size=2):
    """Ratings of half of all pairs: biases, an inner product and noise; `expected` is the rating without noise."""
    generator = torch.Generator().manual_seed(0)
    users, movies = (torch.randn(n, size, generator=generator) * 0.7 for n in (N_USERS, N_MOVIES))
    user_biases, movie_biases = (torch.randn(n, generator=generator) * 0.3 for n in (N_USERS, N_MOVIES))
    expected = 3 + user_biases[:, None] + movie_biases + users @ movies.T
    rating = expected + NOISE * torch.randn(N_USERS, N_MOVIES, generator=generator)
    user_ids, movie_ids = torch.where(torch.rand(N_USERS, N_MOVIES, generator=generator) < 0.5)
    return pl.DataFrame(
        {
            "userId": user_ids.numpy(),
            "movieId": movie_ids.numpy(),
            "userIdMapped": user_ids.numpy(),
            "movieIdMapped": movie_ids.numpy(),
            "rating": rating[user_ids, movie_ids].clamp(0.5, 5).double().numpy(),
            "expected": expected[user_ids, movie_ids].clamp(0.5, 5).double().numpy(),
        }
    )


def fit(ratings_df, scale=SCALE, **options):
    return BayesianFactorization.fit(ratings_df, N_USERS, torch.ones(N_MOVIES, 1), scale, **({"size": 3} | options))


@pytest.fixture(scope="module")
def planted():
    """Give training and test rows and the sampler fitted on the former."""
    train_df, _, test_df = split_train_test(planted_ratings_df())
    return train_df, test_df, fit(train_df)


def test_a_planted_inner_product_is_recovered(planted):
    train_df, test_df, model = planted
    mse = rating_metrics(test_df["expected"], model.predict(test_df)["prediction"])["mse"]
    biases_mse = rating_metrics(test_df["expected"], BiasBaseline.fit(train_df, 5, SCALE).predict(test_df))["mse"]
    assert biases_mse > 0.3
    assert mse < 0.05


def test_its_intervals_hold_as_many_ratings_as_they_promise(planted):
    _, test_df, model = planted
    predictions_df = model.predict(test_df)
    errors = (predictions_df["prediction"] - test_df["rating"]).abs()
    assert (errors < 1.645 * predictions_df["std"]).mean() == pytest.approx(0.90, abs=0.05)
    assert predictions_df["std"].mean() == pytest.approx(NOISE, abs=0.1)


def test_the_draw_of_a_row_has_the_mean_and_covariance_worked_out_by_hand():
    # one factor; movies y = 2 and y = -1, residuals 1 and 0.5 with weights 1 and 2; prior N((0.5, 0), (1/4, 1/3)):
    # precision [[4 + 4 + 2, 2 - 2], [0, 3 + 1 + 2]] = [[10, 0], [0, 6]]; target (4·0.5 + 2 - 1, 0 + 1 + 1) = (3, 2)
    n = 20_000
    other = tensor([[2.0, 9.0], [-1.0, 9.0]])  # the biases of the other side stand in the residuals already
    own_ids, other_ids = torch.arange(n).repeat_interleave(2), tensor([0, 1]).repeat(n)
    prior = tensor([[0.5, 0.0]]).repeat(n, 1), tensor([4.0, 3.0])
    torch.manual_seed(0)
    residuals, weights = tensor([1.0, 0.5]).repeat(n), tensor([1.0, 2.0]).repeat(n)
    rows = draw_rows(_bags(own_ids, other_ids, n), other, residuals, weights, prior)
    assert torch.allclose(rows.mean(0), tensor([0.3, 2 / 6]), atol=0.01)
    assert torch.allclose(rows.T.cov(), tensor([[1 / 10, 0.0], [0.0, 1 / 6]]), atol=0.005)


def test_a_row_without_ratings_is_drawn_from_the_prior():
    n = 20_000
    prior = tensor([[0.5, -1.0]]).repeat(n, 1), tensor([4.0, 25.0])
    torch.manual_seed(0)
    nothing = torch.zeros(0, dtype=torch.int64)
    rows = draw_rows(_bags(nothing, nothing, n), torch.ones(3, 2), torch.zeros(0), torch.zeros(0), prior)
    assert torch.allclose(rows.mean(0), tensor([0.5, -1.0]), atol=0.02)
    assert torch.allclose(rows.std(0), tensor([0.5, 0.2]), atol=0.01)


def test_the_prior_finds_the_regression_on_features_and_what_it_leaves():
    torch.manual_seed(0)
    features = torch.cat([torch.ones(20_000, 1), torch.randn(20_000, 1)], 1)
    weights = tensor([[1.0, 0.0], [2.0, -0.5]])
    rows = features @ weights + torch.randn(20_000, 2) * tensor([0.5, 0.1])
    mean, precision = _draw_prior(rows, features)
    assert torch.allclose(mean, features @ weights, atol=0.1)
    assert torch.allclose(precision, tensor([4.0, 100.0]), rtol=0.05)


def test_a_movie_that_nobody_rated_is_taken_for_what_movies_of_its_kind_are():
    generator = torch.Generator().manual_seed(0)
    is_good = torch.arange(N_MOVIES) % 2
    user_ids, movie_ids = torch.where(torch.rand(N_USERS, N_MOVIES, generator=generator) < 0.3)
    noise = 0.3 * torch.randn(len(user_ids), generator=generator)
    ratings = 2.5 + is_good[movie_ids] + noise
    columns = {"userIdMapped": user_ids.numpy(), "movieIdMapped": movie_ids.numpy(), "rating": ratings.numpy()}
    train_df = pl.DataFrame(columns).filter(pl.col("movieIdMapped") >= 10)
    features = torch.stack([torch.ones(N_MOVIES), is_good - 0.5], 1)
    model = BayesianFactorization.fit(train_df, N_USERS, features, SCALE, size=2, sweeps=60)
    unrated_df = pl.DataFrame({"userIdMapped": range(10), "movieIdMapped": range(10)})
    assert model.predict(unrated_df)["prediction"].to_list() == pytest.approx([2.5, 3.5] * 5, abs=0.25)


def test_every_user_has_a_noise_of_their_own():
    generator = torch.Generator().manual_seed(0)
    user_ids, movie_ids = torch.where(torch.rand(N_USERS, N_MOVIES, generator=generator) < 0.5)
    planted = torch.tensor([0.3, 1.0]).repeat(N_USERS // 2)
    ratings = 3 + planted[user_ids] * torch.randn(len(user_ids), generator=generator)
    columns = {"userIdMapped": user_ids.numpy(), "movieIdMapped": movie_ids.numpy(), "rating": ratings.numpy()}
    noise = fit(pl.DataFrame(columns), size=1).noise.sqrt()
    assert noise[::2].mean() == pytest.approx(0.3, abs=0.15)
    assert noise[1::2].mean() == pytest.approx(1.0, abs=0.15)
    assert noise[::2].max() < noise[1::2].min()


def test_the_same_seed_gives_the_same_draws_another_seed_others_and_the_global_generator_stays():
    ratings_df = planted_ratings_df()
    torch.manual_seed(7)
    following = torch.rand(3)
    torch.manual_seed(7)
    first, other = (fit(ratings_df, sweeps=4, burn_in=2, seed=seed) for seed in (0, 1))
    assert torch.equal(torch.rand(3), following)
    torch.manual_seed(8)
    again = fit(ratings_df, sweeps=4, burn_in=2, seed=0)
    assert torch.equal(first.users, again.users) and torch.equal(first.noise, again.noise)
    assert not torch.allclose(first.users, other.users)
    assert first.users.shape == (2, N_USERS, 4) and first.movies.shape == (2, N_MOVIES, 4)


def test_unseen_users_and_movies_get_wider_intervals_and_predictions_stay_on_the_scale(planted):
    train_df, _, _ = planted
    seen_df = train_df.filter(pl.col("userIdMapped") > 0, pl.col("movieIdMapped") > 0)
    model = fit(seen_df)
    pairs_df = pl.DataFrame({"userIdMapped": [0, 1], "movieIdMapped": [0, 1]})
    unseen, seen = model.predict(pairs_df)["std"]
    assert unseen > 1.5 * seen
    predictions = replace(model, scale=Scale(2, 4, None)).predict(train_df)["prediction"]
    assert (predictions.min(), predictions.max()) == (2, 4)


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


def test_no_rows_and_no_kept_draw_are_refused():
    ratings_df = planted_ratings_df()
    with pytest.raises(ValueError, match="got 0 rows, burn_in=20, sweeps=100"):
        fit(ratings_df.clear())
    with pytest.raises(ValueError, match="rows, burn_in=5, sweeps=5"):
        fit(ratings_df, sweeps=5, burn_in=5)


def test_on_the_built_in_sample_it_beats_the_biases_by_a_tenth():
    ratings_df, users_df, movie_ids_df = load_torch_data("built-in", 500)
    train_df, val_df, _ = split_train_test(ratings_df)
    movies_df = movie_ids_df.join(load_movies("built-in"), on="movieId", how="left", maintain_order="left")
    model = BayesianFactorization.fit(train_df, users_df.height, movie_features(movies_df), SCALE, sweeps=60)
    mse = rating_metrics(val_df["rating"], model.predict(val_df)["prediction"])["mse"]
    assert mse < 0.94 * rating_metrics(val_df["rating"], BiasBaseline.fit(train_df, 5, SCALE).predict(val_df))["mse"]
