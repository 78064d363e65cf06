"""Matrix factorisation that draws its parameters instead of optimising them, and so needs no tuning and knows its doubts."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor
from torch.distributions import Gamma

from utilities.releases import Scale
from utilities.rows import GroupedRatings, draw_rows, group_ratings, row_sums, squared_errors

NOISE_SHAPE = 4.0  # how alike the noise of users is; from 3 to 8 validation sees no difference
_FOLD_IN_SWEEPS = 3  # rows and noise in turn; with 10 or 30 neither the errors nor the promised spread change any more


@dataclass(frozen=True)
class BayesianFactorization:
    """Draws from the posterior of a factorisation with biases, features and a noise of each user.

    The model of r̃_ui = (r_ui - μ) / s, with the mean μ and the standard deviation s of the training ratings held fixed:

    - r̃_ui ~ N(b_u + b_i + p_u·q_i, 1/τ_u) for every rating;
    - (p_u, b_u) ~ N(Φᵀf_u, diag(1/κ)) and (q_i, b_i) ~ N(Ψᵀf_i, diag(1/λ)), regressions on the features f of both sides;
    - Φ_dj ~ N(0, 1/κ_j) and Ψ_dj ~ N(0, 1/λ_j), all κ_j and λ_j ~ Gamma(1, 1);
    - τ_u ~ Gamma(4, ρ) with ρ ~ Gamma(1, 1), shape and rate: a user with few ratings is taken to be as noisy as others.

    Gibbs sampling draws each of these given the rest. All of the conditionals are normal or gamma, so that no draw is an
    approximation (Salakhutdinov and Mnih, Bayesian Probabilistic Matrix Factorization using MCMC, 2008; for the features
    Simm et al., Macau, 2015).

    Attributes:
        mean: μ, in the unit of the ratings.
        deviation: s, in that unit.
        users: Rows (p_u, b_u) of each draw, in units of s, f32 `[n_draws, n_users, size + 1]`.
        movies: Rows (q_i, b_i) of each draw, f32 `[n_draws, n_movies, size + 1]`.
        noise: s²/τ_u, its expectation averaged over the draws, in its square, f32 `[n_users]`.
        user_weights: Φ of each draw, f32 `[n_draws, d, size + 1]`.
        user_precisions: κ of each draw, f32 `[n_draws, size + 1]`.
        noise_rates: ρ of each draw, f32 `[n_draws]`.
        scale: What predictions are clipped to.
    """

    mean: float
    deviation: float
    users: Tensor
    movies: Tensor
    noise: Tensor
    user_weights: Tensor
    user_precisions: Tensor
    noise_rates: Tensor
    scale: Scale

    @classmethod
    def fit(
        cls,
        train_df: pl.DataFrame,
        user_features: Tensor,
        movie_features: Tensor,
        scale: Scale,
        *,
        size: int = 8,
        sweeps: int = 100,
        burn_in: int = 20,
        seed: int = 0,
    ) -> "BayesianFactorization":
        """Draw from the posterior; nothing is tuned, so there is no validation set.

        The draws take 4 (size + 1) bytes for each user, movie and kept sweep. Where that is too much, `fit_predict` keeps
        none.

        Args:
            train_df: Ratings with columns `userIdMapped`, `movieIdMapped` and `rating`.
            user_features: Of each user, f32 `[n_users, d]`: `torch.ones(n_users, 1)` for none.
            movie_features: Of each movie, f32 `[n_movies, d]`: what `movie_features` gives, or a column of ones for none.
            scale: The ratings that can be given.
            size: Length of p_u and q_i.
            sweeps: How often everything is drawn.
            burn_in: First draws to throw away, made before the sampler has found its way.
            seed: Seed of the draws; torch's global generator is left as it was.

        Returns:
            The draws.

        Raises:
            ValueError: There are no rows, no draw would be kept, or an id has no features.
        """
        given = train_df, user_features, movie_features, size, sweeps, burn_in, seed
        mean, deviation, states = _posterior(*given)
        kept = {}
        for draw, state in enumerate(states):
            for name in _KEPT:
                value = getattr(state, name)
                kept.setdefault(name, torch.empty(sweeps - burn_in, *value.shape))[draw] = value
        kept["noise"] = kept["noise"].mean(0) * deviation**2
        return cls(mean=mean, deviation=deviation, scale=scale, **kept)

    @staticmethod
    def fit_predict(
        train_df: pl.DataFrame,
        ratings_df: pl.DataFrame,
        user_features: Tensor,
        movie_features: Tensor,
        scale: Scale,
        *,
        size: int = 8,
        sweeps: int = 100,
        burn_in: int = 20,
        seed: int = 0,
    ) -> pl.DataFrame:
        """Predict ratings as `fit` and `predict` do, with running means in place of kept draws.

        Args:
            train_df: As in `fit`.
            ratings_df: Rows with columns `userIdMapped` and `movieIdMapped`.
            user_features: As in `fit`.
            movie_features: As in `fit`.
            scale: As in `fit`.
            size: As in `fit`.
            sweeps: As in `fit`.
            burn_in: As in `fit`.
            seed: As in `fit`.

        Returns:
            As `predict`.

        Raises:
            ValueError: As in `fit`.
        """
        given = train_df, user_features, movie_features, size, sweeps, burn_in, seed
        mean, deviation, states = _posterior(*given)
        draws = ((state.users, state.movies, state.noise) for state in states)
        return _predict(draws, _mapped_ids(ratings_df), mean, deviation, scale)

    def predict(self, ratings_df: pl.DataFrame) -> pl.DataFrame:
        """Predict ratings, averaged over the draws.

        Args:
            ratings_df: Rows with columns `userIdMapped` and `movieIdMapped`.

        Returns:
            One row per row, in order: `prediction` f32, clipped to the scale, and `std` f32, the standard
            deviation of a rating around it, doubt about the parameters and noise together.
        """
        noise = self.noise / self.deviation**2
        draws = ((users, movies, noise) for users, movies in zip(self.users, self.movies, strict=True))
        return _predict(draws, _mapped_ids(ratings_df), self.mean, self.deviation, self.scale)

    def predict_draws(self, ratings_df: pl.DataFrame) -> Tensor:
        """Give what each draw predicts, without noise and not clipped: the doubt about the parameters alone.

        Args:
            ratings_df: Rows with columns `userIdMapped` and `movieIdMapped`.

        Returns:
            f32 `[n_draws, n]`, in the unit of the ratings.
        """
        user_ids, movie_ids = _mapped_ids(ratings_df)
        scores = [_score(u[user_ids], m[movie_ids]) for u, m in zip(self.users, self.movies, strict=True)]
        return self.mean + self.deviation * torch.stack(scores)

    def fold_in(self, ratings_df: pl.DataFrame, user_features: Tensor, *, seed: int = 0) -> "BayesianFactorization":
        """Take up new users: draw their rows and noise given their ratings, and given each kept draw of everything else.

        The movies do not learn from the new ratings, which is what makes it quick.

        Args:
            ratings_df: What the new users have rated so far, maybe nothing, with columns `userIdMapped` (from 0, in a
                numbering of their own), `movieIdMapped` and `rating`.
            user_features: Of each new user, as in `fit`, f32 `[n_new, d]`.
            seed: Seed of the draws.

        Returns:
            The same model, with the new users in place of the old ones.

        Raises:
            ValueError: An id has no features.
        """
        ids, features = _mapped_ids(ratings_df), user_features.float()
        by_user = group_ratings(*ids, (_ratings(ratings_df) - self.mean) / self.deviation, len(features))
        rows, noise = torch.empty(len(self.movies), len(features), self.movies.shape[2]), torch.zeros(len(features))
        with _seeded(seed):
            for draw, movies in enumerate(self.movies):
                prior = features @ self.user_weights[draw], self.user_precisions[draw]
                sums, precision = row_sums(by_user, movies), NOISE_SHAPE / self.noise_rates[draw].expand(len(features))
                for _ in range(_FOLD_IN_SWEEPS):
                    rows[draw] = draw_rows(sums, prior, precision)
                    shape, rate = _noise_posterior(
                        by_user, squared_errors(by_user, sums, rows[draw]), self.noise_rates[draw]
                    )
                    precision = Gamma(shape, rate).sample()
                noise += rate / (shape - 1) / len(self.movies)
        return replace(self, users=rows, noise=noise * self.deviation**2)

    def save(self, path: str | PathLike) -> None:
        """Write the model to a file that `load` reads; one that is there is replaced when the new one is whole.

        Args:
            path: The file, in a folder that exists.

        Raises:
            OSError: It cannot be written.
        """
        path = Path(path)
        part = path.with_name(f".{path.name}.part")
        try:
            torch.save(asdict(self) | {"scale": tuple(self.scale)}, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | PathLike) -> "BayesianFactorization":
        """Read a model that `save` has written; no code of the file is executed.

        Args:
            path: The file.

        Returns:
            The model.

        Raises:
            ValueError: The file holds something else.
            OSError: It cannot be read.
        """
        try:
            values = torch.load(path, map_location="cpu", weights_only=True)
            return cls(**values | {"scale": Scale(*values["scale"])})
        except OSError:
            raise
        except Exception as error:
            names = ", ".join(field.name for field in fields(cls))
            raise ValueError(
                f"{path} is no saved BayesianFactorization, which holds {names}: fit and save it again"
            ) from error


class _State(NamedTuple):
    """All numbers of the model, of which a draw keeps the rows and the fields named in `_KEPT`."""

    users: Tensor
    movies: Tensor
    precision: Tensor
    user_weights: Tensor | None = None
    user_precisions: Tensor | None = None
    movie_weights: Tensor | None = None
    movie_precisions: Tensor | None = None
    noise_rates: Tensor | None = None
    noise: Tensor | None = None  # what 1/τ is expected to be given the rest: smoother than a draw


_KEPT = ("users", "movies", "noise", "user_weights", "user_precisions", "noise_rates")


def _sweep(
    state: _State, by_user: GroupedRatings, by_movie: GroupedRatings, user_features: Tensor, movie_features: Tensor
) -> _State:
    """Draw everything once, each given the rest; `by_user` and `by_movie` hold the same r̃_ui."""
    users, movies, precision = state[:3]
    movie_weights, movie_precisions = _draw_prior(movies, movie_features)
    movies = draw_rows(row_sums(by_movie, users, precision), (movie_features @ movie_weights, movie_precisions))
    user_weights, user_precisions = _draw_prior(users, user_features)
    sums = row_sums(by_user, movies)
    users = draw_rows(sums, (user_features @ user_weights, user_precisions), precision)
    noise_rate = Gamma(*_rate_posterior(precision)).sample()
    shape, rate = _noise_posterior(by_user, squared_errors(by_user, sums, users), noise_rate)
    regressions = user_weights, user_precisions, movie_weights, movie_precisions
    return _State(users, movies, Gamma(shape, rate).sample(), *regressions, noise_rate, rate / (shape - 1))


def _chain(grouped: Iterable[GroupedRatings], features: tuple[Tensor, Tensor], size: int, sweeps: int, seed: int):
    """Yield the state after each sweep, from a random start; in between, torch's global generator is the chain's."""
    with _seeded(seed):
        users, movies = (torch.randn(len(each), size + 1) * 0.3 for each in features)
        users[:, -1] = movies[:, -1] = 0
        state = _State(users, movies, torch.ones(len(users)))
        for _ in range(sweeps):
            state = _sweep(state, *grouped, *features)
            yield state


def _draw_prior(rows: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Draw the precisions of rows around their regression on features, then the regression's weights given these."""
    factor = torch.linalg.cholesky(features.T @ features + torch.eye(features.shape[1]))
    weights = torch.cholesky_solve(features.T @ rows, factor)
    squares = ((rows - features @ weights) ** 2).sum(0) + (weights**2).sum(0)
    precision = Gamma(1 + len(rows) / 2, 1 + squares / 2).sample()
    noise = torch.linalg.solve_triangular(factor.T, torch.randn_like(weights), upper=True)
    return weights + noise / precision.sqrt(), precision


def _noise_posterior(by_user: GroupedRatings, squares: Tensor, noise_rate: Tensor) -> tuple[Tensor, Tensor]:
    """Give shape and rate of the gamma distribution of every τ_u, given the users' sums of squared errors."""
    return NOISE_SHAPE + by_user.counts / 2, noise_rate + squares / 2


def _rate_posterior(precision: Tensor) -> tuple[float, Tensor]:
    """Give shape and rate of the gamma distribution of ρ, given every τ_u."""
    return 1 + NOISE_SHAPE * len(precision), 1 + precision.sum()


def _predict(
    draws: Iterable[tuple[Tensor, Tensor, Tensor]],
    ids: tuple[Tensor, Tensor],
    mean: float,
    deviation: float,
    scale: Scale,
) -> pl.DataFrame:
    """Average what draws of (users, movies, noise) predict."""
    user_ids, movie_ids = ids
    n, total, squares, noise = 0, *torch.zeros(3, len(user_ids), dtype=torch.float64)
    for users, movies, variances in draws:
        scores = _score(users[user_ids], movies[movie_ids]).double()
        n, total, squares, noise = n + 1, total + scores, squares + scores**2, noise + variances[user_ids]
    variance = (squares / n - (total / n) ** 2).clamp_min(0) + noise / n
    predictions = (mean + deviation * total / n).clamp(scale.lowest, scale.highest)
    std = deviation * variance.sqrt()
    return pl.DataFrame({"prediction": predictions.float().numpy(), "std": std.float().numpy()})


def _posterior(
    train_df: pl.DataFrame,
    user_features: Tensor,
    movie_features: Tensor,
    size: int,
    sweeps: int,
    burn_in: int,
    seed: int,
) -> tuple[float, float, Iterator[_State]]:
    """Standardise ratings, and draw from the posterior: give μ, s and the states after the burn-in."""
    if train_df.is_empty() or not 0 <= burn_in < sweeps:
        raise ValueError(
            f"need rows and 0 <= burn_in < sweeps; got {train_df.height} rows, burn_in={burn_in}, sweeps={sweeps}"
        )
    (user_ids, movie_ids), ratings = _mapped_ids(train_df), _ratings(train_df)
    mean, deviation = ratings.mean().item(), ratings.std(correction=0).item() or 1.0
    deviations, features = (ratings - mean) / deviation, (user_features.float(), movie_features.float())
    sides = (user_ids, movie_ids), (movie_ids, user_ids)
    grouped = [group_ratings(*ids, deviations, len(each)) for ids, each in zip(sides, features, strict=True)]
    return mean, deviation, islice(_chain(grouped, features, size, sweeps, seed), burn_in, None)


def _score(user_rows: Tensor, movie_rows: Tensor) -> Tensor:
    """Compute b_u + b_i + p_u·q_i."""
    return user_rows[:, -1] + movie_rows[:, -1] + (user_rows[:, :-1] * movie_rows[:, :-1]).sum(1)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from a seed, and leave torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _ratings(ratings_df: pl.DataFrame) -> Tensor:
    return ratings_df["rating"].cast(pl.Float32).to_torch()


def _mapped_ids(ratings_df: pl.DataFrame) -> tuple[Tensor, Tensor]:
    return tuple(ratings_df[column].cast(pl.Int64).to_torch() for column in ("userIdMapped", "movieIdMapped"))
