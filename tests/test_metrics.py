import numpy as np
import polars as pl
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, root_mean_squared_error

from utilities import rating_metrics


def test_errors_are_those_worked_out_by_hand():
    # errors 1, 0, -2: squares 1 + 0 + 4, absolute values 1 + 0 + 2
    metrics = rating_metrics(pl.Series([3.0, 4.0, 5.0]), [4.0, 4.0, 3.0])
    assert metrics == pytest.approx({"mse": 5 / 3, "rmse": (5 / 3) ** 0.5, "mae": 1.0})
    assert all(type(value) is float for value in metrics.values())


def test_errors_are_those_of_scikit_learn():
    ratings, predictions = np.random.default_rng(0).uniform(0.5, 5, (2, 1000))
    assert rating_metrics(ratings, predictions) == pytest.approx(
        {
            "mse": mean_squared_error(ratings, predictions),
            "rmse": root_mean_squared_error(ratings, predictions),
            "mae": mean_absolute_error(ratings, predictions),
        }
    )


def test_single_precision_predictions_are_measured_in_double():
    predictions = pl.Series([3.1] * 10, dtype=pl.Float32)
    assert rating_metrics([3.0] * 10, predictions)["mae"] == pytest.approx(float(np.float32(3.1)) - 3.0, rel=1e-12)


@pytest.mark.parametrize(("ratings", "predictions"), [([1.0, 2.0], [1.0]), ([1.0, 2.0], [[1.0], [2.0]]), ([], [])])
def test_other_than_one_prediction_a_rating_is_refused_with_both_shapes(ratings, predictions):
    with pytest.raises(ValueError, match=r"ratings have shape \((2,|0,)\), predictions \((1,|2, 1|0,)\)"):
        rating_metrics(ratings, predictions)
