"""Synthetic ratings of the reference's size, a clock, and the printing that the benchmarks share."""

import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import polars as pl
import torch

N_ROWS, N_USERS, N_MOVIES = 2_544_549, 157_481, 50  # the 50 most-rated movies of ml-25m
BATCH_SIZE = 4096

warnings.filterwarnings("ignore", ".*LeafSpec.*deprecated.*")


def synthetic_ratings(seed: int = 0) -> pl.DataFrame:
    """Draw ratings from biases, five tastes and noise: as many rows, users and movies as the reference has.

    No pair comes twice, every user has a rating, and some users and movies have far more than others. The rows are
    ordered by user, as the real ones are.
    """
    rng = np.random.default_rng(seed)
    appeal = rng.gumbel(size=(N_USERS, N_MOVIES)) + rng.normal(size=(N_USERS, 1)) + rng.normal(0, 0.5, N_MOVIES)
    appeal[np.arange(N_USERS), appeal.argmax(1)] = np.inf
    pairs = np.sort(np.argpartition(appeal.ravel(), -N_ROWS)[-N_ROWS:])
    users, movies = np.divmod(pairs, N_MOVIES)
    tastes = rng.normal(0, 0.6, (N_USERS, 5)), rng.normal(0, 0.6, (N_MOVIES, 5))
    stars = 3.9 + rng.normal(0, 0.5, N_USERS)[users] + rng.normal(0, 0.3, N_MOVIES)[movies]
    stars += (tastes[0][users] * tastes[1][movies]).sum(1) + rng.normal(0, 0.7, N_ROWS)
    return pl.DataFrame(
        {
            "userIdMapped": users.astype(np.uint32),
            "movieIdMapped": movies.astype(np.uint32),
            "rating": (2 * stars).round().clip(1, 10) / 2,
        }
    )


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
