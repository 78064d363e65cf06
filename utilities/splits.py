"""The one split that every model of the series is judged on."""

import polars as pl

from utilities.frames import as_frame

SPLIT_SEED = 42
MIN_ROWS = 10


def split_train_test(
    ratings_df: pl.DataFrame, *, seed: int = SPLIT_SEED
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Split rows at random into 70 % training, 20 % validation and 10 % test.

    scikit-learn's `train_test_split`, applied twice: 30 % are set aside, then a third of these become the test set.

    Args:
        ratings_df: The rows to split, at least 10; a pandas or a lazy frame will do.
        seed: `random_state` of both splits.

    Returns:
        Training, validation and test rows, shuffled, with the columns of `ratings_df`.

    Raises:
        ValueError: There are too few rows to split.
        TypeError: `ratings_df` is no frame.
    """
    from sklearn.model_selection import train_test_split

    ratings_df = as_frame(ratings_df)
    if ratings_df.height < MIN_ROWS:
        raise ValueError(f"{ratings_df.height} rows are too few for a 70/20/10 split; at least {MIN_ROWS} are needed")
    train_df, rest_df = train_test_split(ratings_df, test_size=0.3, random_state=seed)
    val_df, test_df = train_test_split(rest_df, test_size=1 / 3, random_state=seed)
    return train_df, val_df, test_df
