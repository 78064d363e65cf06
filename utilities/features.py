"""What is known of movies and users beside their ratings, as numbers a regression can start from."""

import polars as pl
import torch
from torch import Tensor


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
    return _with_ones(_with_square(columns))


def user_features(users_df: pl.DataFrame) -> Tensor:
    """Describe users by what they said of themselves.

    Args:
        users_df: One row per user, in the order of the mapped ids, with columns `age`, `gender` and `occupation`.

    Returns:
        f32 `[n_users, d]`: ones, then the age, its square, the genders and the occupations, each but the ones standardised.
    """
    columns = users_df.select(
        pl.col("age").fill_null(pl.col("age").mean()).fill_null(0),
        *(
            (pl.col(column) == value).fill_null(False).alias(f"{column} {value}")
            for column in ("gender", "occupation")
            for value in users_df[column].drop_nulls().unique().sort()
        ),
    ).to_torch(dtype=pl.Float32)
    return _with_ones(_with_square(columns))


def count_features(train_df: pl.DataFrame, user_features: Tensor, movie_features: Tensor) -> tuple[Tensor, Tensor]:
    """Add what was rated, and how often, to the features of both sides; the ratings themselves do not matter.

    That somebody rated a movie says something, too: under a random split it helps. Of users without ratings the counts are
    0, far from those of anybody who has some, which makes predictions worse: by users or time, most rows are of such.

    Args:
        train_df: Training ratings with columns `userIdMapped` and `movieIdMapped`.
        user_features: f32 `[n_users, d]`, the ones first.
        movie_features: f32 `[n_movies, e]`, the ones first.

    Returns:
        The features of users with the logarithm of 1 + how many they rated and the means of the rated movies' features,
        and those of movies with the logarithm of 1 + how often they were rated; the new columns standardised.
    """
    user_ids, movie_ids = (train_df[f"{side}IdMapped"].cast(pl.Int64).to_torch() for side in ("user", "movie"))
    n_rated, n_raters = (
        user_ids.bincount(minlength=len(user_features)),
        movie_ids.bincount(minlength=len(movie_features)),
    )
    kinds = torch.zeros(len(user_features), movie_features.shape[1] - 1)
    kinds = kinds.index_add_(0, user_ids, movie_features[movie_ids, 1:]) / n_rated.clamp_min(1)[:, None]
    of_users, of_movies = (
        _with_ones(torch.cat([n_rated[:, None].log1p(), kinds], 1)),
        _with_ones(n_raters[:, None].log1p()),
    )
    return torch.cat([user_features, of_users[:, 1:]], 1), torch.cat([movie_features, of_movies[:, 1:]], 1)


def _with_square(columns: Tensor) -> Tensor:
    """Append the squared distance of the first column, a year or an age, from its mean."""
    return torch.cat([columns, (columns[:, :1] - columns[:, :1].mean()) ** 2], 1)


def _with_ones(columns: Tensor) -> Tensor:
    """Standardise columns; what does not vary becomes 0. A column of ones comes first."""
    columns = (columns - columns.mean(0)) / columns.std(0, correction=0).clamp_min(1e-6)
    return torch.cat([torch.ones(len(columns), 1), columns], 1)
