from dataclasses import replace

import polars as pl
import pytest
import torch
from torch import tensor
from torch.distributions import Gamma

from utilities import (
    BayesianFactorization,
    BiasBaseline,
    load_movies,
    load_torch_data,
    movie_features,
    rating_metrics,
    split_train_test,
)
from utilities.bayesian import NOISE_SHAPE, _draw_prior, _noise_posterior, _rate_posterior, _score, _State, _sweep
from utilities.releases import Scale
from utilities.rows import draw_rows, group_ratings, row_sums, squared_errors

SCALE = Scale(0.5, 5.0, 0.5)
N_USERS, N_MOVIES, NOISE = 120, 80, 0.4
USERS = torch.ones(N_USERS, 1)  # no features


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
    return BayesianFactorization.fit(ratings_df, USERS, torch.ones(N_MOVIES, 1), scale, **({"size": 3} | options))


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


def test_the_prior_finds_the_regression_on_features_and_what_it_leaves():
    torch.manual_seed(0)
    features = torch.cat([torch.ones(20_000, 1), torch.randn(20_000, 1)], 1)
    weights = tensor([[1.0, 0.0], [2.0, -0.5]])
    rows = features @ weights + torch.randn(20_000, 2) * tensor([0.5, 0.1])
    drawn, precision = _draw_prior(rows, features)
    assert torch.allclose(drawn, weights, atol=0.05)
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
    model = BayesianFactorization.fit(train_df, USERS, features, SCALE, size=2, sweeps=60)
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


def test_running_means_predict_what_kept_draws_predict():
    ratings_df = planted_ratings_df()
    given = ratings_df, USERS, torch.ones(N_MOVIES, 1), SCALE
    kept = BayesianFactorization.fit(*given, size=2, sweeps=12, burn_in=4, seed=3).predict(ratings_df)
    running = BayesianFactorization.fit_predict(
        ratings_df, ratings_df, *given[1:], size=2, sweeps=12, burn_in=4, seed=3
    )
    for column in ("prediction", "std"):
        assert running[column].to_list() == pytest.approx(kept[column].to_list(), abs=1e-5)


def test_the_spread_of_what_draws_predict_and_the_noise_make_up_the_promised_one(planted):
    _, test_df, model = planted
    draws, ids = model.predict_draws(test_df), test_df["userIdMapped"].to_torch()
    assert draws.shape == (len(model.users), test_df.height)
    variance = draws.double().var(0, correction=0) + model.noise[ids]
    assert model.predict(test_df)["std"].to_list() == pytest.approx(variance.sqrt().tolist(), abs=1e-3)


def test_multiplied_ratings_give_multiplied_predictions():
    ratings_df = planted_ratings_df()
    eightfold_df = ratings_df.with_columns(pl.col("rating") * 8)  # which no float rounds
    options = {"size": 2, "sweeps": 12, "burn_in": 4}
    one = fit(ratings_df, **options).predict(ratings_df)
    other = fit(eightfold_df, Scale(4, 40, 4), **options).predict(ratings_df)
    for column in ("prediction", "std"):
        assert other[column].to_numpy() == pytest.approx(8 * one[column].to_numpy(), rel=1e-5)


def test_new_users_are_predicted_from_their_ratings_and_their_intervals_hold(planted):
    """Users that no fit has seen: half of their ratings are folded in, the other half is what the intervals are for."""
    whole_df = planted_ratings_df()
    model = fit(whole_df.filter(pl.col("userIdMapped") < 80))
    new_df = whole_df.filter(pl.col("userIdMapped") >= 80).with_columns(pl.col("userIdMapped") - 80)
    given_df, asked_df = new_df[::2], new_df[1::2]
    folded, nobody = (model.fold_in(df, USERS[:40]).predict(asked_df) for df in (given_df, given_df.clear()))
    mse, nobody_mse = (rating_metrics(asked_df["rating"], df["prediction"])["mse"] for df in (folded, nobody))
    assert mse < 1.4 * NOISE**2 < nobody_mse / 2
    for df in (folded, nobody):
        held = (df["prediction"] - asked_df["rating"]).abs() < 1.645 * df["std"]
        assert held.mean() == pytest.approx(0.90, abs=0.06)
    assert folded["std"].mean() < 0.6 * nobody["std"].mean()


def test_a_user_known_and_folded_in_again_gets_nearly_the_same_row(planted):
    train_df, test_df, model = planted
    folded = model.fold_in(train_df, USERS)
    difference = (folded.predict(test_df)["prediction"] - model.predict(test_df)["prediction"]).abs()
    assert difference.mean() < 0.05
    assert folded.noise.numpy() == pytest.approx(model.noise.numpy(), rel=0.5)


def test_the_noise_of_a_user_without_ratings_is_that_of_the_others(planted):
    train_df, _, _ = planted
    model = fit(train_df.filter(pl.col("userIdMapped") > 4))
    assert model.noise[:5].sqrt().numpy() == pytest.approx(5 * [NOISE], abs=0.1)


def test_a_saved_model_predicts_as_before_and_nothing_else_is_loaded(planted, tmp_path):
    _, test_df, model = planted
    path = tmp_path / "model.pt"
    path.write_bytes(b"old")
    model.save(path)
    assert BayesianFactorization.load(path).predict(test_df).equals(model.predict(test_df))
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]
    (tmp_path / "text.pt").write_text("no model")
    torch.save({"users": torch.ones(1)}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt"):
        with pytest.raises(
            ValueError, match=f"{name} is no saved BayesianFactorization, which holds mean, deviation, users"
        ):
            BayesianFactorization.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        BayesianFactorization.load(tmp_path / "missing.pt")


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
    model = BayesianFactorization.fit(
        train_df, torch.ones(users_df.height, 1), movie_features(movies_df), SCALE, sweeps=60
    )
    mse = rating_metrics(val_df["rating"], model.predict(val_df)["prediction"])["mse"]
    assert mse < 0.94 * rating_metrics(val_df["rating"], BiasBaseline.fit(train_df, 5, SCALE).predict(val_df))["mse"]


N_DRAWS = 6_000


@pytest.fixture(scope="module")
def tiny():
    """Numbers of a model with 3 users, 4 movies, 6 ratings and features of both sides, and their log joint density."""
    torch.manual_seed(0)
    user_ids, movie_ids, z = tensor([0, 0, 1, 1, 1, 2]), tensor([0, 1, 1, 2, 3, 0]), torch.randn(6)
    features, its = (torch.randn(3, 2), torch.randn(4, 3)), {}
    its["users"], its["movies"], its["v"], its["w"] = (torch.randn(n, 3) for n in (3, 4, 2, 3))
    its["kappa"], its["lam"], its["tau"], its["beta"] = (torch.rand(n) + 0.5 for n in (3, 3, 3, 1))

    def normal(x, mean, precision):
        return (0.5 * precision.log() - 0.5 * precision * (x - mean) ** 2).sum()

    def gamma(x, shape, rate):
        return (shape * torch.as_tensor(rate).log() + (shape - 1) * x.log() - rate * x).sum()

    def log_joint(**changed):
        users, movies, v, w, kappa, lam, tau, beta = (value.double() for value in (its | changed).values())
        scores = (users[user_ids, :-1] * movies[movie_ids, :-1]).sum(1) + users[user_ids, -1] + movies[movie_ids, -1]
        rows = normal(users, features[0].double() @ v, kappa) + normal(movies, features[1].double() @ w, lam)
        priors = normal(v, 0, kappa) + normal(w, 0, lam) + gamma(kappa, 1, 1.0) + gamma(lam, 1, 1.0)
        return normal(z.double(), scores, tau[user_ids]) + rows + priors + gamma(tau, 4, beta) + gamma(beta, 1, 1.0)

    grouped = group_ratings(user_ids, movie_ids, z, 3), group_ratings(movie_ids, user_ids, z, 4)
    return its, features, grouped, log_joint


def curvature(log_joint, name, value, **changed):
    """Give minus the Hessian of the log density along one variable."""
    hessian = torch.autograd.functional.hessian(lambda x: log_joint(**changed | {name: x}), value.double())
    return -hessian.reshape(value.numel(), value.numel())


def conditional_mean(log_joint, name, value):
    """Give the mean of a normal conditional: one Newton step from anywhere."""
    gradient = torch.autograd.functional.jacobian(lambda x: log_joint(**{name: x}), value.double()).flatten()
    return value.double().flatten() + torch.linalg.solve(curvature(log_joint, name, value), gradient)


@pytest.mark.parametrize("name", ["users", "movies"])
def test_rows_are_drawn_as_the_stated_joint_density_has_them(tiny, name):
    its, (user_features, movie_features_), (by_user, by_movie), log_joint = tiny
    torch.manual_seed(0)
    if name == "users":
        sums, prior, weights = row_sums(by_user, its["movies"]), (user_features @ its["v"], its["kappa"]), its["tau"]
    else:
        sums, prior = row_sums(by_movie, its["users"], its["tau"]), (movie_features_ @ its["w"], its["lam"])
        weights = None
    drawn = torch.stack([draw_rows(sums, prior, weights) for _ in range(N_DRAWS)]).flatten(1).double()
    assert torch.allclose(drawn.mean(0), conditional_mean(log_joint, name, its[name]), atol=0.06)
    assert torch.allclose(drawn.T.cov(), torch.linalg.inv(curvature(log_joint, name, its[name])), atol=0.1)


def test_regressions_and_spreads_are_drawn_as_the_stated_joint_density_has_them(tiny):
    its, (user_features, _), _, log_joint = tiny
    torch.manual_seed(0)
    weights, precisions = zip(*(_draw_prior(its["users"], user_features) for _ in range(N_DRAWS)), strict=True)
    mean = conditional_mean(log_joint, "v", its["v"])  # the same for every κ
    assert torch.allclose(torch.stack(weights).flatten(1).double().mean(0), mean, atol=0.06)
    best, shape = mean.reshape(its["v"].shape), 1 + 3 / 2
    for column, drawn in enumerate(torch.stack(precisions).double().T):  # p(κ) = p(κ, Φ) / p(Φ | κ), at any Φ
        logs = []
        for value in (0.5, 2.0):
            changed = {"kappa": its["kappa"].clone().index_fill_(0, tensor(column), value)}
            logs.append(log_joint(v=best, **changed) - 0.5 * curvature(log_joint, "v", best, **changed).logdet())
        rate = (logs[0] - logs[1] + (shape - 1) * torch.tensor(2.0 / 0.5).log()) / (2.0 - 0.5)
        assert drawn.mean() == pytest.approx((shape / rate).item(), rel=0.05)
        assert drawn.var() == pytest.approx((shape / rate**2).item(), rel=0.15)


def test_noise_and_its_rate_are_drawn_as_the_stated_joint_density_has_them(tiny):
    its, _, (by_user, _), log_joint = tiny
    errors = squared_errors(by_user, row_sums(by_user, its["movies"]), its["users"])
    conditionals = [
        ("tau", n, *p) for n, p in enumerate(zip(*_noise_posterior(by_user, errors, its["beta"]), strict=True))
    ]
    conditionals.append(("beta", 0, *_rate_posterior(its["tau"])))
    for name, position, shape, rate in conditionals:
        gamma = Gamma(torch.as_tensor(shape).double(), rate.double())
        low, high = (its[name].clone().index_fill_(0, tensor(position), value) for value in (0.5, 2.0))
        expected = (gamma.log_prob(torch.tensor(2.0)) - gamma.log_prob(torch.tensor(0.5))).item()
        assert (log_joint(**{name: high}) - log_joint(**{name: low})).item() == pytest.approx(expected, abs=1e-4)


def test_planted_numbers_drawn_anew_are_distributed_as_they_were():
    """Simulation-based calibration that need not wait for a chain to forget its start (Geweke, 2004; Talts et al., 2018).

    Numbers drawn from the prior are themselves a draw from the posterior given ratings made from them, so after some sweeps
    every prior has to hold for what is there now: standardised by it, each number ranks uniformly.
    """
    n_users, n_movies, size, n_cases, sweeps = 6, 5, 2, 400, 4
    torch.manual_seed(0)
    user_ids, movie_ids = torch.where(torch.rand(n_users, n_movies) < 0.7)
    x, y = torch.ones(n_users, 1), torch.stack([torch.ones(n_movies), torch.linspace(-1, 1, n_movies)], 1)
    ranks = {}
    for _ in range(n_cases):
        kappa, lam = Gamma(torch.ones(2, size + 1), 1.0).sample()
        beta = Gamma(1.0, 1.0).sample()
        tau = Gamma(torch.full((n_users,), NOISE_SHAPE), beta).sample()
        users, movies = (
            features @ (torch.randn(features.shape[1], size + 1) / precisions.sqrt())
            + torch.randn(len(features), size + 1) / precisions.sqrt()
            for features, precisions in ((x, kappa), (y, lam))
        )
        z = _score(users[user_ids], movies[movie_ids]) + torch.randn(len(user_ids)) / tau[user_ids].sqrt()
        grouped = group_ratings(user_ids, movie_ids, z, n_users), group_ratings(movie_ids, user_ids, z, n_movies)
        state = _State(users, movies, tau)
        for _ in range(sweeps):
            state = _sweep(state, *grouped, x, y)
        of_users, of_movies = state.user_precisions.sqrt(), state.movie_precisions.sqrt()
        errors = z - _score(state.users[user_ids], state.movies[movie_ids])
        normal = {
            "ratings": errors * state.precision[user_ids].sqrt(),
            "users' rows": (state.users - x @ state.user_weights) * of_users,
            "movies' rows": (state.movies - y @ state.movie_weights) * of_movies,
            "Φ": state.user_weights * of_users,
            "Ψ": state.movie_weights * of_movies,
        }  # the squares of n of them sum to a gamma, chi² with n degrees of freedom
        gamma = {name: (values.numel() / 2, values.square().sum() / 2) for name, values in normal.items()}
        gamma |= {"κ": (1, state.user_precisions[0]), "λ": (1, state.movie_precisions[-1]), "ρ": (1, state.noise_rates)}
        gamma |= {"τ": (n_users * NOISE_SHAPE, (state.precision * state.noise_rates).sum())}
        for name, (shape, value) in gamma.items():
            ranks.setdefault(name, []).append(torch.special.gammainc(tensor(float(shape)), value).item())
    for name, values in ranks.items():
        counts = (8 * tensor(values)).long().clamp(max=7).bincount(minlength=8)
        chi_squared = ((counts - n_cases / 8) ** 2 / (n_cases / 8)).sum()
        assert chi_squared < 24.3, (
            f"{name}: {counts.tolist()}"
        )  # what one in a thousand exceeds, with seven degrees of freedom
