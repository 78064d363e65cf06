"""The size of ml-25m: an archive of its shape, converted, loaded and trained on, each step in a process of its own."""

import zipfile
from pathlib import Path

import numpy as np
import polars as pl

FOLDER = Path(__file__).resolve().parents[1] / "build" / "bench"
ZIP = FOLDER / "ml-25m.zip"
N_USERS, N_MOVIES, N_RATINGS = 162_541, 59_047, 25_000_095
GENRES = np.array(["Action", "Comedy", "Drama", "Horror", "Romance", "Sci-Fi"])
EPOCH_BATCHES_PLAIN = 200  # the default loader would take minutes for a whole epoch
BATCH_SIZE = 4096


def make_archive() -> None:
    """Write ml-25m's files with ratings of a planted low-rank structure: long tails of users and of movies."""
    rng = np.random.default_rng(0)
    movie_ids = np.sort(rng.choice(np.arange(1, 209_172), N_MOVIES, replace=False))
    users, movies = who_rates_what(rng)
    ratings = planted_ratings(rng, users, movies)
    start = rng.integers(790_000_000, 1_560_000_000, N_USERS)
    ratings_df = pl.DataFrame(
        {
            "userId": users + 1,
            "movieId": movie_ids[movies],
            "rating": ratings,
            "timestamp": start[users] + rng.integers(0, 10_000_000, len(users)),
        }
    )
    movies_df = pl.DataFrame(
        {
            "movieId": movie_ids,
            "title": [f"Film, The {movie} ({1920 + movie % 100})" for movie in movie_ids],
            "genres": ["|".join(GENRES[: 1 + movie % 3]) for movie in movie_ids],
        }
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    csv, partial = FOLDER / "table.csv", ZIP.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name, df in (("ratings", ratings_df), ("movies", movies_df)):
            df.write_csv(csv)
            archive.write(csv, f"ml-25m/{name}.csv")
    csv.unlink()
    partial.replace(ZIP)


def who_rates_what(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw distinct pairs (user, movie), sorted: 20 to thousands a user, one to 80,000 a movie."""
    activity = 20 + rng.lognormal(4.1, 1.35, N_USERS)
    popularity = rng.permutation((np.arange(N_MOVIES) + 330.0) ** -1.8)
    drawn = rng.multinomial(round(1.35 * N_RATINGS), activity / activity.sum())
    users = np.repeat(np.arange(N_USERS), drawn)
    movies = rng.choice(N_MOVIES, len(users), p=popularity / popularity.sum())
    each_once = rng.integers(0, N_USERS, N_MOVIES) * N_MOVIES + np.arange(N_MOVIES)
    each_user = np.arange(N_USERS) * N_MOVIES + rng.choice(N_MOVIES, N_USERS, p=popularity / popularity.sum())
    kept = np.union1d(each_once, each_user)
    rest = np.setdiff1d(users * N_MOVIES + movies, kept)
    pairs = np.sort(np.concatenate([kept, rng.choice(rest, N_RATINGS - len(kept), replace=False, shuffle=False)]))
    return pairs // N_MOVIES, pairs % N_MOVIES


def planted_ratings(rng: np.random.Generator, users: np.ndarray, movies: np.ndarray, rank: int = 8) -> np.ndarray:
    """Rate by μ + b_u + b_i + p_u·q_i and noise, in half stars."""
    b_u, b_i = rng.normal(0, 0.4, N_USERS), rng.normal(0, 0.45, N_MOVIES)
    p_u, q_i = rng.normal(0, 0.42, (N_USERS, rank)), rng.normal(0, 0.42, (N_MOVIES, rank))
    stars = 3.53 + b_u[users] + b_i[movies] + rng.normal(0, 0.7, len(users))
    for k in range(rank):
        stars += p_u[users, k] * q_i[movies, k]
    return np.clip(np.round(stars * 2) / 2, 0.5, 5.0)


if __name__ == "__main__":
    make_archive()
