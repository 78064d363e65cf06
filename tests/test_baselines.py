import polars as pl
import pytest

from utilities import BiasBaseline, load_torch_data, rating_metrics, rating_scale, split_train_test
from utilities.releases import Scale

SCALE = Scale(0.5, 5.0, 0.5)
TRAIN_DF = pl.DataFrame({"userId": [1, 1, 2], "movieId": [10, 20, 10], "rating": [5.0, 3.0, 4.0]})


def test_biases_are_those_worked_out_by_hand():
    # mean 4; movie 10: (1 + 0) / (1 + 2), movie 20: -1 / (1 + 1);
    # user 1: (1 - 1/3 - 1 + 1/2) / (1 + 2) = 1/18, user 2: (0 - 1/3) / (1 + 1) = -1/6
    baseline = BiasBaseline.fit(TRAIN_DF, regularization=1, scale=SCALE)
    assert baseline.mean == 4.0
    assert dict(baseline.movie_biases_df.rows()) == pytest.approx({10: 1 / 3, 20: -1 / 2})
    assert dict(baseline.user_biases_df.rows()) == pytest.approx({1: 1 / 18, 2: -1 / 6})
    predictions = baseline.predict(TRAIN_DF.reverse())
    assert predictions.to_list() == pytest.approx([4 + 1 / 3 - 1 / 6, 4 - 1 / 2 + 1 / 18, 4 + 1 / 3 + 1 / 18])


def test_an_unseen_user_or_movie_has_a_bias_of_0():
    unseen_df = pl.DataFrame({"userId": [1, 99, 99], "movieId": [77, 10, 77]})
    predictions = BiasBaseline.fit(TRAIN_DF, regularization=1, scale=SCALE).predict(unseen_df)
    assert predictions.to_list() == pytest.approx([4 + 1 / 18, 4 + 1 / 3, 4.0])


def test_strong_regularization_leaves_the_mean():
    predictions = BiasBaseline.fit(TRAIN_DF, regularization=1e9, scale=SCALE).predict(TRAIN_DF)
    assert predictions.to_list() == pytest.approx([4.0, 4.0, 4.0], abs=1e-8)


@pytest.mark.parametrize("scale", [SCALE, Scale(2, 4, None)])
def test_predictions_stay_on_the_scale(scale):
    train_df = pl.DataFrame(
        {"userId": [1, 1, 2, 2, 3, 3], "movieId": [1, 2, 1, 3, 2, 4], "rating": [5.0, 5.0, 5.0, 0.5, 0.5, 0.5]}
    )
    baseline = BiasBaseline.fit(train_df, regularization=0, scale=scale)
    extremes_df = pl.DataFrame({"userId": [1, 3], "movieId": [1, 4]})
    # mean 2.75: user 1 and movie 1 are both above it by more than 2.25 together, user 3 and movie 4 below
    assert baseline.predict(extremes_df).to_list() == [scale.highest, scale.lowest]


def test_negative_regularization_and_an_empty_frame_are_refused():
    with pytest.raises(ValueError, match="got 3 rows, -1"):
        BiasBaseline.fit(TRAIN_DF, regularization=-1, scale=SCALE)
    with pytest.raises(ValueError, match="got 0 rows, 1"):
        BiasBaseline.fit(TRAIN_DF.clear(), regularization=1, scale=SCALE)


def test_on_the_built_in_sample_the_biases_explain_a_quarter_of_the_validation_variance():
    train_df, val_df, _ = split_train_test(load_torch_data("built-in", 500)[0])
    mse_of_mean = ((val_df["rating"] - train_df["rating"].mean()) ** 2).mean()
    predictions = BiasBaseline.fit(train_df, 5, rating_scale("built-in")).predict(val_df)
    mse = rating_metrics(val_df["rating"], predictions)["mse"]
    assert 0.70 < mse < 0.75 * mse_of_mean
