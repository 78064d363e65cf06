import numpy as np
import polars as pl
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, root_mean_squared_error

from utilities import bootstrap_interval, rating_metrics


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


def test_the_interval_of_rows_is_that_of_their_standard_error():
    # each row its own group: the mean of 10,000 values of spread 2 has a standard error of 0.02
    values = np.random.default_rng(0).normal(5, 2, 10_000)
    low, high = bootstrap_interval(values, np.arange(10_000))
    assert (low, high) == pytest.approx((values.mean() - 1.96 * 0.02, values.mean() + 1.96 * 0.02), abs=0.004)


def test_rows_that_repeat_their_group_do_not_narrow_the_interval():
    values = np.random.default_rng(0).normal(size=200)
    once = bootstrap_interval(values, range(200))
    ten_times = bootstrap_interval(np.repeat(values, 10), np.repeat(np.arange(200), 10))
    assert ten_times == pytest.approx(once)


def test_groups_are_weighed_by_their_rows():
    # two groups, 3 rows of 0 and 1 row of 1: a draw has mean 0, 1/4 or 1, with chances 1/4, 1/2, 1/4
    groups = pl.Series(["a", "a", "b", "a"])
    assert bootstrap_interval([0, 0, 1, 0], groups, level=0.9) == (0, 1)
    assert bootstrap_interval([0, 0, 1, 0], groups, level=0.4) == (0.25, 0.25)


def test_the_same_seed_gives_the_same_interval_and_a_lower_level_a_narrower_one():
    values = pl.Series(np.random.default_rng(0).normal(size=100))
    low, high = bootstrap_interval(values, range(100))
    assert bootstrap_interval(values, range(100)) == (low, high) != bootstrap_interval(values, range(100), seed=1)
    inner_low, inner_high = bootstrap_interval(values, range(100), level=0.5)
    assert low < inner_low < inner_high < high


@pytest.mark.parametrize(("values", "groups"), [([1.0, 2.0], [1]), ([], [])])
def test_other_than_one_group_a_value_is_refused_with_both_shapes(values, groups):
    with pytest.raises(ValueError, match=r"values have shape \((2|0),\), groups \((1|0),\); one group a value"):
        bootstrap_interval(values, groups)
