import polars as pl
import pytest
from sklearn.model_selection import train_test_split

from utilities import load_ratings, split_train_test

ROWS_DF = pl.DataFrame({"row": range(100), "rating": [0.5 * (1 + row % 10) for row in range(100)]})


def test_the_split_of_a_hundred_rows_is_these_rows():
    train_df, val_df, test_df = split_train_test(ROWS_DF)
    assert (train_df.height, val_df.height, test_df.height) == (70, 20, 10)
    assert train_df["row"].head(5).to_list() == [11, 47, 85, 28, 93]
    assert val_df["row"].head(5).to_list() == [44, 76, 39, 33, 30]
    assert test_df["row"].head(5).to_list() == [96, 4, 42, 77, 10]


def test_the_split_of_the_built_in_sample_has_these_sizes_and_first_rows():
    train_df, val_df, test_df = split_train_test(load_ratings("built-in"))
    assert (train_df.height, val_df.height, test_df.height) == (70_002, 20_001, 10_001)
    assert train_df.row(0) == (324, 2762, 3.5, 1451519709)
    assert val_df.row(0) == (144, 288, 3.0, 837455510)
    assert test_df.row(0) == (580, 3489, 3.0, 1167160453)


@pytest.mark.parametrize("n_rows", [10, 11, 57, 1000])
def test_rows_are_those_of_scikit_learn_on_plain_numbers(n_rows):
    train, rest = train_test_split(range(n_rows), test_size=0.3, random_state=42)
    val, test = train_test_split(rest, test_size=1 / 3, random_state=42)
    parts = split_train_test(pl.DataFrame({"row": range(n_rows)}))
    assert [df["row"].to_list() for df in parts] == [train, val, test]
    assert sorted([*train, *val, *test]) == list(range(n_rows))


def test_rows_stay_whole_and_the_frame_unchanged():
    before_df = ROWS_DF.clone()
    assert pl.concat(split_train_test(ROWS_DF)).sort("row").equals(ROWS_DF)
    assert ROWS_DF.equals(before_df)


def test_another_seed_gives_other_rows():
    assert not split_train_test(ROWS_DF)[0].equals(split_train_test(ROWS_DF, seed=1)[0])


@pytest.mark.parametrize("n_rows", [0, 3, 9])
def test_too_few_rows_are_refused_with_their_number(n_rows):
    with pytest.raises(ValueError, match=f"{n_rows} rows are too few for a 70/20/10 split; at least 10"):
        split_train_test(ROWS_DF.head(n_rows))


@pytest.mark.parametrize("convert", [pl.DataFrame.lazy, pl.DataFrame.to_pandas])
def test_a_lazy_and_a_pandas_frame_are_split_as_polars_frames_are(convert):
    for ours, theirs in zip(split_train_test(ROWS_DF), split_train_test(convert(ROWS_DF)), strict=True):
        assert ours.equals(theirs)


def test_what_is_no_frame_is_refused():
    with pytest.raises(TypeError, match="expected a frame of polars or pandas, not list"):
        split_train_test([1, 2, 3])
