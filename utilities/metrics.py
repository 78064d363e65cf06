"""How far predictions are from ratings."""

from collections.abc import Sequence

import numpy as np


def rating_metrics(ratings: Sequence[float], predictions: Sequence[float]) -> dict[str, float]:
    """Measure the errors of predictions.

    Args:
        ratings: Ratings in stars, shape `[n]`.
        predictions: What was predicted for them, in stars, shape `[n]`.

    Returns:
        `mse` (stars²), `rmse` and `mae` (stars).

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
    return {"mse": mse, "rmse": mse**0.5, "mae": float(np.mean(np.abs(errors)))}
