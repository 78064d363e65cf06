"""How far predictions are from ratings."""

from collections.abc import Sequence

import numpy as np


def rating_metrics(ratings: Sequence[float], predictions: Sequence[float]) -> dict[str, float]:
    """Measure the errors of predictions.

    Args:
        ratings: Ratings, shape `[n]`.
        predictions: What was predicted for them, shape `[n]`.

    Returns:
        `mse`, `rmse` and `mae`; the first in the square of the unit of the ratings, the others in that unit.

    Raises:
        ValueError: The shapes differ, or there is nothing to measure.
    """
    ratings, predictions = np.asarray(ratings, dtype=float), np.asarray(predictions, dtype=float)
    if ratings.shape != predictions.shape or ratings.size == 0:
        raise ValueError(
            f"ratings have shape {ratings.shape}, predictions {predictions.shape}; one prediction a rating"
        )
    errors = predictions - ratings
    mse = float(np.mean(errors**2))
    return {"mse": mse, "rmse": float(np.sqrt(mse)), "mae": float(np.mean(np.abs(errors)))}


def bootstrap_interval(
    values: Sequence[float], groups: Sequence[int], *, level: float = 0.95, n_draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Give an interval for the mean of values that come in groups.

    Whole groups are drawn with replacement, as many as there are, and the mean over their rows is taken; the interval holds
    the middle `level` of the means (Efron's percentile bootstrap, by clusters). With squared errors as values and users as
    groups it says how much a mean squared error depends on which users there happen to be; with the *differences* of two
    models' squared errors it compares the two on the same rows.

    Args:
        values: One value a row, shape `[n]`.
        groups: The group of each row, for example its user's id, shape `[n]`.
        level: Share of the means inside the interval.
        n_draws: How many times to draw.
        seed: Seed of the draws.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: The shapes differ, or there is nothing to average.
    """
    values, groups = np.asarray(values, dtype=float), np.asarray(groups)
    if values.shape != groups.shape or values.size == 0:
        raise ValueError(f"values have shape {values.shape}, groups {groups.shape}; one group a value")
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums, n = np.bincount(group_of, weights=values), len(sizes)
    rng, means = np.random.default_rng(seed), np.empty(n_draws)
    for draw in range(n_draws):
        times = np.bincount(rng.integers(n, size=n), minlength=n)  # how often each group was drawn
        means[draw] = times @ sums / (times @ sizes)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
