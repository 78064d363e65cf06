"""Planted ratings of the reference's size, a clock, and the printing that the benchmarks share."""

import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import polars as pl
import torch

N_ROWS, N_USERS, N_MOVIES = 2_544_549, 157_481, 50  # the 50 most-rated movies of ml-25m have so many
BATCH_SIZE = 4096

warnings.filterwarnings("ignore", ".*LeafSpec.*deprecated.*")


def planted_ratings() -> pl.DataFrame:
    """Plant what a model can find, biases and five tastes, in ratings of the reference's size, and hide it in noise.

    Some users and movies have far more ratings than others, and some users are far noisier than others. No pair comes twice.
    The seed and the order of the draws are fixed: the budgets are stated for these rows, 2,537,457 of 155,969 users.

    Returns:
        `userId`, `movieId`, `rating` and `timestamp` as `utilities.load_ratings` has them, the rows in no order.
    """
    rng = np.random.default_rng(11)
    n_drawn = int(1.6 * N_ROWS)  # most are left after pairs that come twice are dropped

    def draw(weights):
        return rng.choice(len(weights), size=n_drawn, p=weights / weights.sum())

    user_weights, movie_weights = rng.lognormal(0, 1, N_USERS), rng.lognormal(0, 0.3, N_MOVIES)
    pairs = np.unique(draw(user_weights) * N_MOVIES + draw(np.sort(movie_weights)[::-1]))
    users, movies = np.divmod(rng.permutation(pairs)[:N_ROWS], N_MOVIES)
    user_tastes, movie_tastes = rng.normal(0, 0.45, (N_USERS, 5)), rng.normal(0, 0.6, (N_MOVIES, 5))
    user_biases, movie_biases = (rng.normal(0, 0.35, n) for n in (N_USERS, N_MOVIES))
    noise = np.exp(rng.normal(-0.4, 0.25, N_USERS))[users] * rng.normal(size=len(users))
    stars = 3.9 + user_biases[users] + movie_biases[movies] + (user_tastes[users] * movie_tastes[movies]).sum(1) + noise
    ratings = {"userId": users + 1, "movieId": movies + 1, "rating": (2 * stars).round().clip(1, 10) / 2}
    return pl.DataFrame(ratings | {"timestamp": np.arange(len(users))})


def interleaved(works: dict[str, Callable[[], float | None]], repeats: int) -> dict[str, list[float]]:
    """Time each piece of work once to warm up, then `repeats` times in turn, so that a busy minute hits all alike.

    Work that keeps a clock of its own returns its seconds; of the rest the whole call is timed.
    """
    times = {name: [] for name in works}
    for repeat in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            own = work()
            if repeat:
                times[name].append(own if isinstance(own, float) else time.perf_counter() - start)
    return times


def spread(times: list[float]) -> str:
    """Show the median and the range."""
    return f"{statistics.median(times):.3f} ({min(times):.3f} to {max(times):.3f})"


def ratio(over: list[float], under: list[float]) -> float:
    """Return the median of the ratios of times that were taken in the same turn: what slows a turn cancels out."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def machine() -> str:
    """Name what the figures depend on."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return (
        f"{cores} cores ({platform.machine()}), {torch.get_num_threads()} torch threads, load {load:.1f} at the start, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )
