"""The sampler: seconds a sweep at two sizes, and alternating least squares of the same code, seconds to a known error.

The sizes are the planted ratings of the 50 most-rated movies, and ml-25m's with all its movies, made up at random. Seconds
are of processor time on one thread, median of the sweeps (range). The last table is by the clock on two threads: how long
alternating least squares takes to the error that LensKit's has after ten epochs, which `make peers` measures.
"""

import os
import resource
import subprocess
import sys
import time

import numpy as np
import polars as pl
import torch
from _common import machine, planted_ratings, spread

import utilities
from utilities import bayesian

SWEEPS = 15
LENSKIT_MSE = 0.583  # after ten epochs, test MSE on the planted ratings
ALS = {"size": 5, "price": 60.0, "bias_price": 4.0}  # found on validation by bench_peers.py


def planted() -> tuple[pl.DataFrame, pl.DataFrame, int, int]:
    ratings_df, users_df, movies_df = utilities.map_users_and_movies(planted_ratings())
    train_df, _, test_df = utilities.split_train_test(ratings_df)
    return train_df, test_df, users_df.height, movies_df.height


def of_ml25m_size(n=17_500_000, n_users=162_541, n_movies=59_047) -> tuple[pl.DataFrame, None, int, int]:
    """Make up training ratings with long tails; pairs may come twice, which costs the same."""
    rng = np.random.default_rng(0)

    def draw(weights):
        return rng.choice(len(weights), size=n, p=weights / weights.sum()).astype(np.uint32)

    columns = {
        "userIdMapped": draw(rng.lognormal(0, 1.2, n_users)),
        "movieIdMapped": draw(1 / np.arange(1, n_movies + 1)),
    }
    return pl.DataFrame(columns | {"rating": rng.integers(1, 11, n) / 2}), None, n_users, n_movies


def sweeps(rows) -> None:
    """Print a line of the first table, measured in a process of its own, for its memory."""
    train_df, _, n_users, n_movies = rows
    features = torch.ones(n_users, 1), torch.ones(n_movies, 1)
    *_, states = bayesian._posterior(train_df, *features, size=8, sweeps=SWEEPS, burn_in=0, seed=0)
    n_rows = train_df.height
    del train_df, rows
    seconds, start = [], time.process_time()
    for _ in states:
        seconds.append(time.process_time() - start)
        start = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {n_rows:,} | {n_users:,} | {n_movies:,} | {spread(seconds[1:])} | {peak:,.0f} |", flush=True)


def race() -> None:
    """Print the error of alternating least squares after each sweep, and the seconds since it was handed the frame."""
    train_df, test_df, n_users, n_movies = planted()
    size, price = ALS["size"], torch.tensor([ALS["price"]] * ALS["size"] + [ALS["bias_price"]])
    prior = torch.zeros(1, size + 1), price
    test_users, test_movies = (test_df[c].cast(pl.Int64).to_torch() for c in ("userIdMapped", "movieIdMapped"))
    for turn in range(2):  # the first warms up
        start = time.perf_counter()
        users, movies = (train_df[c].cast(pl.Int64).to_torch() for c in ("userIdMapped", "movieIdMapped"))
        ratings = train_df["rating"].cast(pl.Float32).to_torch()
        mean = ratings.mean()
        by_user = utilities.group_ratings(users, movies, ratings - mean, n_users)
        by_movie = utilities.group_ratings(movies, users, ratings - mean, n_movies)
        movie_rows = 0.3 * torch.randn(n_movies, size + 1, generator=torch.Generator().manual_seed(0))
        movie_rows[:, -1], spent = 0, time.perf_counter() - start
        for sweep in range(1, 21):
            start = time.perf_counter()
            user_rows = utilities.solve_rows(utilities.row_sums(by_user, movie_rows), prior)
            movie_rows = utilities.solve_rows(utilities.row_sums(by_movie, user_rows), prior)
            spent += time.perf_counter() - start
            scores = (user_rows[test_users, :-1] * movie_rows[test_movies, :-1]).sum(1)
            scores += mean + user_rows[test_users, -1] + movie_rows[test_movies, -1]
            mse = ((scores.clamp(0.5, 5) - test_df["rating"].to_torch()) ** 2).mean().item()
            if turn:
                print(f"| {sweep} | {spent:.2f} | {mse:.4f} |", flush=True)
            if mse < LENSKIT_MSE:
                break


def main() -> None:
    print(machine(), flush=True)
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    print("\n| training ratings | users | movies | seconds a sweep | peak MB |\n|---|---|---|---|---|", flush=True)
    for name in ("planted", "of_ml25m_size"):
        subprocess.run([sys.executable, __file__, name], check=True, env=environment | {"OMP_NUM_THREADS": "1"})
    print(f"\n| sweeps of ALS | seconds | test MSE (until below {LENSKIT_MSE}) |\n|---|---|---|", flush=True)
    subprocess.run([sys.executable, __file__, "race"], check=True, env=environment | {"OMP_NUM_THREADS": "2"})


if __name__ == "__main__":
    steps = {"planted": lambda: sweeps(planted()), "of_ml25m_size": lambda: sweeps(of_ml25m_size()), "race": race}
    (steps[sys.argv[1]] if len(sys.argv) > 1 else main)()
