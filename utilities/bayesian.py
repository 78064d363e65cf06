"""Matrix factorisation that draws its parameters instead of optimising them, and so needs no tuning and knows its doubts."""

from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor
from torch.distributions import Gamma
from torch.nn import functional as F

from utilities.releases import Scale


@dataclass(frozen=True)
class BayesianFactorization:
    """r_ui ~ N(μ + b_u + b_i + p_u·q_i, σ_u²), with draws of everything but μ from its posterior, by Gibbs sampling.

    Rows (p_u, b_u) are normal around a common row, rows (q_i, b_i) around a regression on the movie's features: a movie with
    few ratings is taken for what movies of its kind are. The regressions, the spreads around them and every user's σ_u have
    vague priors and are drawn, too. Given the rest, each of these is normal or gamma, so that a draw is exact
    (Salakhutdinov and Mnih, Bayesian Probabilistic Matrix Factorization using MCMC, 2008; for the features Simm et al.,
    Macau, 2015).

    Attributes:
        mean: μ, the mean training rating in stars.
        users: Rows (p_u, b_u) of each draw, f32 `[n_draws, n_users, size + 1]`.
        movies: Rows (q_i, b_i) of each draw, f32 `[n_draws, n_movies, size + 1]`.
        noise: σ_u², averaged over the draws, in stars², f32 `[n_users]`.
        scale: What predictions are clipped to.
    """

    mean: float
    users: Tensor
    movies: Tensor
    noise: Tensor
    scale: Scale

    @classmethod
    def fit(
        cls,
        train_df: pl.DataFrame,
        n_users: int,
        features: Tensor,
        scale: Scale,
        *,
        size: int = 8,
        sweeps: int = 100,
        burn_in: int = 20,
        seed: int = 0,
    ) -> "BayesianFactorization":
        """Draw from the posterior; nothing is tuned, so there is no validation set.

        Args:
            train_df: Ratings with columns `userIdMapped`, `movieIdMapped` and `rating`.
            n_users: How many users the mapping has.
            features: Of each movie, f32 `[n_movies, d]`: what `movie_features` gives, or a column of ones for none.
            scale: The ratings that can be given.
            size: Length of p_u and q_i.
            sweeps: How often everything is drawn.
            burn_in: First draws to throw away, made before the sampler has found its way.
            seed: Seed of the draws; torch's global generator is left as it was.

        Returns:
            The draws.

        Raises:
            ValueError: There are no rows, or no draw would be kept.
        """
        if train_df.is_empty() or not 0 <= burn_in < sweeps:
            raise ValueError(
                f"need rows and 0 <= burn_in < sweeps; got {train_df.height} rows, burn_in={burn_in}, sweeps={sweeps}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(*_sample(train_df, n_users, features, size, sweeps, burn_in), scale)

    def predict(self, ratings_df: pl.DataFrame) -> pl.DataFrame:
        """Predict ratings, averaged over the draws.

        Args:
            ratings_df: Rows with columns `userIdMapped` and `movieIdMapped`.

        Returns:
            One row per row, in order: `prediction` f32 in stars, clipped to the scale, and `std` f32, the standard
            deviation of a rating around it, doubt about the parameters and noise together.
        """
        user_ids, movie_ids = _mapped_ids(ratings_df)
        total = squares = torch.zeros(len(user_ids), dtype=torch.float64)
        for users, movies in zip(self.users, self.movies, strict=True):
            deviations = _score(users[user_ids], movies[movie_ids]).double()
            total, squares = total + deviations, squares + deviations**2
        mean = total / len(self.users)
        variance = (squares / len(self.users) - mean**2).clamp_min(0) + self.noise[user_ids]
        predictions = (self.mean + mean).clamp(self.scale.lowest, self.scale.highest)
        return pl.DataFrame({"prediction": predictions.float().numpy(), "std": variance.sqrt().float().numpy()})


def movie_features(movies_df: pl.DataFrame) -> Tensor:
    """Describe movies by genres and year: by nothing that depends on ratings, so nothing can leak.

    Args:
        movies_df: One row per movie, in the order of the mapped ids, with columns `genres` and `year`.

    Returns:
        f32 `[n_movies, d]`: ones, then the year, the genres and the year's square, each but the ones standardised.
    """
    genres = movies_df["genres"].explode().drop_nulls().unique().sort()
    columns = movies_df.select(
        pl.col("year").fill_null(pl.col("year").mean()).fill_null(0),
        *(pl.col("genres").list.contains(genre).fill_null(False).alias(f"genre {genre}") for genre in genres),
    ).to_torch(dtype=pl.Float32)
    columns = torch.cat([columns, (columns[:, :1] - columns[:, :1].mean()) ** 2], 1)
    columns = (columns - columns.mean(0)) / columns.std(0, correction=0).clamp_min(1e-6)
    return torch.cat([torch.ones(len(columns), 1), columns], 1)


def draw_rows(bags: tuple, other: Tensor, residuals: Tensor, weights: Tensor, prior: tuple[Tensor, Tensor]) -> Tensor:
    """Draw the rows of one side, users or movies, given those of the other.

    A row x with ratings r_j = x·(y_j, 1) + noise of precision w_j and the prior N(m, diag(1/λ)) is normal, with precision
    A = diag(λ) + Σ w_j (y_j, 1)(y_j, 1)ᵀ and mean A⁻¹ (λ m + Σ w_j r_j (y_j, 1)): ridge regression, and how sure it is.

    Args:
        bags: Which ratings belong to which row, as `_bags` gives it.
        other: (y, bias) of the other side, `[n_other, size + 1]`.
        residuals: r_j, ratings less μ and less the other side's bias, `[n]`.
        weights: w_j, `[n]`.
        prior: m `[n_rows, size + 1]` and λ `[size + 1]`.

    Returns:
        One draw of every row, `[n_rows, size + 1]`.
    """
    (order, other_ids, starts), (prior_mean, prior_precision) = bags, prior
    inputs = torch.cat([other[:, :-1], torch.ones(len(other), 1)], 1)
    products = (inputs[:, :, None] * inputs[:, None]).flatten(1)
    precision, target = (
        F.embedding_bag(other_ids, table, starts, mode="sum", per_sample_weights=w[order])
        for table, w in ((products, weights), (inputs, weights * residuals))
    )
    factor = torch.linalg.cholesky(precision.view(*prior_mean.shape, -1) + prior_precision.diag())
    target = (target + prior_mean * prior_precision)[:, :, None]
    half = torch.linalg.solve_triangular(factor, target, upper=False)
    return torch.linalg.solve_triangular(factor.mT, half + torch.randn_like(half), upper=True)[:, :, 0]


def _draw_prior(rows: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Draw the regression of rows on features and the precision of what it leaves: mean and precision of the rows' prior."""
    factor = torch.linalg.cholesky(features.T @ features + torch.eye(features.shape[1]))
    weights = torch.cholesky_solve(features.T @ rows, factor)
    squares = ((rows - features @ weights) ** 2).sum(0) + (weights**2).sum(0)
    precision = Gamma(1 + len(rows) / 2, 1 + squares / 2).sample()
    weights += torch.linalg.solve_triangular(factor.T, torch.randn_like(weights), upper=True) / precision.sqrt()
    return features @ weights, precision


def _sample(train_df, n_users, features, size, sweeps, burn_in) -> tuple[float, Tensor, Tensor, Tensor]:
    """Draw movies, users and noise in turn, each given the others; give μ and what is kept of them."""
    (user_ids, movie_ids), ratings = _mapped_ids(train_df), train_df["rating"].cast(pl.Float32).to_torch()
    by_user, by_movie = _bags(user_ids, movie_ids, n_users), _bags(movie_ids, user_ids, len(features))
    n_rated, ones = user_ids.bincount(minlength=n_users), torch.ones(n_users, 1)
    mean = ratings.mean().item()
    users, movies = (torch.randn(n, size + 1) * 0.3 for n in (n_users, len(features)))
    users[:, -1] = movies[:, -1] = 0
    precision, noise, draws = torch.ones(n_users), torch.zeros(n_users), []
    for sweep in range(sweeps):
        weights, prior = precision[user_ids], _draw_prior(movies, features)
        movies = draw_rows(by_movie, users, ratings - mean - users[user_ids, -1], weights, prior)
        users = draw_rows(by_user, movies, ratings - mean - movies[movie_ids, -1], weights, _draw_prior(users, ones))
        squares = (ratings - mean - _score(users[user_ids], movies[movie_ids])) ** 2
        user_squares = torch.zeros(n_users).index_add_(0, user_ids, squares)
        precision = Gamma(2 + n_rated / 2, 2 * squares.mean() + user_squares / 2).sample()
        if sweep >= burn_in:
            draws.append((users, movies))
            noise += 1 / precision / (sweeps - burn_in)
    return mean, *map(torch.stack, zip(*draws, strict=True)), noise


def _score(user_rows: Tensor, movie_rows: Tensor) -> Tensor:
    """Compute b_u + b_i + p_u·q_i."""
    return user_rows[:, -1] + movie_rows[:, -1] + (user_rows[:, :-1] * movie_rows[:, :-1]).sum(1)


def _bags(own_ids: Tensor, other_ids: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sort ratings by their owner: their order, the other side's ids in it, and where each owner's begin."""
    order = own_ids.argsort(stable=True)
    return order, other_ids[order], torch.searchsorted(own_ids[order], torch.arange(n))


def _mapped_ids(ratings_df: pl.DataFrame) -> tuple[Tensor, Tensor]:
    return tuple(ratings_df[column].cast(pl.Int64).to_torch() for column in ("userIdMapped", "movieIdMapped"))
