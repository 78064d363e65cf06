"""From ratings as MovieLens has them to ratings that embedding tables can be indexed with."""

import operator
from hashlib import blake2b
from pathlib import Path

import polars as pl

from utilities.datasets import scan_ratings
from utilities.settings import settings

OWN_ROWS = "own rows"
_loaded: dict[str, dict[str, str | int]] = {}  # what `load_torch_data` has made in this process, by digest


def get_most_frequent_movies(ratings_df: pl.DataFrame, n: int | None = 50) -> pl.DataFrame:
    """Find the most-rated movies.

    Args:
        ratings_df: Ratings with a column `movieId`; as of all functions of the series, a pandas or a lazy frame will do.
        n: How many movies; None for all. Ties go to the smaller id.

    Returns:
        One column `movieId` i64, the most-rated movie first; an inner join on it restricts a frame to these movies.

    Raises:
        ValueError: `n` is no whole number from 1, or the column is missing or holds no ids.
        TypeError: `ratings_df` is no frame.
    """
    ratings_df = check_ids(as_frame(ratings_df), "movieId")
    n = None if n is None else whole_number("n", n, 1)
    counts_df = ratings_df["movieId"].sort().rle().struct.unnest()  # for 25 M rows a third of the time of group_by
    counts_df = counts_df.sort(["len", "value"], descending=[True, False])
    return counts_df.head(counts_df.height if n is None else n).select(movieId="value")


def map_users_and_movies(ratings_df: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Number users and movies from 0 without gaps, in the order of their ids.

    Args:
        ratings_df: Ratings with columns `userId` and `movieId`.

    Returns:
        The ratings with columns `userIdMapped` and `movieIdMapped` (u32) added, rows in the same order; the users'
        mapping (`userId`, `userIdMapped`); the movies' mapping (`movieId`, `movieIdMapped`).

    Raises:
        ValueError: A column is missing or holds no ids.
        TypeError: `ratings_df` is no frame.
    """
    ratings_df = check_ids(as_frame(ratings_df), "userId", "movieId")
    user_id_mapping, movie_id_mapping = (
        ratings_df.select(pl.col(column).unique().sort()).with_columns(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias(f"{column}Mapped")
        )
        for column in ("userId", "movieId")
    )
    mapped_df = ratings_df.with_columns(  # a join on the mappings would take three times the memory
        mapping[column].search_sorted(ratings_df[column]).cast(pl.UInt32).alias(f"{column}Mapped")
        for column, mapping in (("userId", user_id_mapping), ("movieId", movie_id_mapping))
    )
    return mapped_df, user_id_mapping, movie_id_mapping


def load_torch_data(
    dataset: str | None = None, n_movies: int | None = None
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Load the ratings of the most-rated movies, users and movies numbered.

    Args:
        dataset: Name of the release or path of a file; `MOVIELENS_DATASET` unless given.
        n_movies: How many of the most-rated movies; `MOVIELENS_TOP_MOVIES` unless given.

    Returns:
        The triple of `map_users_and_movies`.

    Raises:
        ValueError: As `load_ratings` and `get_most_frequent_movies`.
        OSError: As `load_ratings`.
    """
    ratings = scan_ratings(dataset)
    if n_movies is None:
        n_movies = settings(dataset).top_movies
    movies_df = get_most_frequent_movies(ratings.select("movieId").collect(), n_movies)
    data = map_users_and_movies(ratings.filter(pl.col("movieId").is_in(movies_df["movieId"].implode())).collect())
    config = settings(dataset)
    _loaded[rows_digest(data[0])] = {
        "dataset": Path(config.dataset).name,  # of an own file without its folder: it goes to the tracking server
        "top_movies": "all" if n_movies is None else int(n_movies),
        "dataset_sample": config.sample or "all",
    }
    return data


def describe_rows(ratings_df: pl.DataFrame) -> dict[str, str | int]:
    """Say what the rows of a frame are, by what is in them.

    Args:
        ratings_df: As `rows_digest` takes.

    Returns:
        `dataset`, `top_movies` and `dataset_sample` if `load_torch_data` has made just these rows in this process, else the
        `dataset` is `own rows`; `rows_digest`, and their number as `n_ratings`.
    """
    digest = rows_digest(ratings_df)
    return {**_loaded.get(digest, {"dataset": OWN_ROWS}), "rows_digest": digest, "n_ratings": ratings_df.height}


def rows_digest(ratings_df: pl.DataFrame) -> str:
    """Digest the values of `userIdMapped`, `movieIdMapped` and `rating` in the order of the rows.

    Args:
        ratings_df: Valid ratings; other columns do not matter, nor do the types of the integers.

    Returns:
        BLAKE2b of the columns' bytes, as i64, i64 and f32 (little-endian), in 36 hexadecimal digits: MLflow keeps no more.
    """
    digest = blake2b(digest_size=18)
    for column, dtype in (("userIdMapped", "<i8"), ("movieIdMapped", "<i8"), ("rating", "<f4")):
        for rows in ratings_df[column].to_frame().iter_slices(2**20):  # 8 MB at a time
            digest.update(rows.to_series().to_numpy().astype(dtype).data)
    return digest.hexdigest()


def as_frame(df) -> pl.DataFrame:
    """Take a polars frame, lazy or not, or a pandas one, whose index is left out.

    Raises:
        TypeError: It is something else.
    """
    if isinstance(df, pl.DataFrame):
        return df
    if isinstance(df, pl.LazyFrame):
        return df.collect()
    if type(df).__module__.partition(".")[0] == "pandas" and hasattr(df, "columns"):
        return pl.from_pandas(df)
    raise TypeError(f"expected a frame of polars or pandas, not {type(df).__qualname__}")


def check_ids(df: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Give a frame back if these columns hold ids, whole numbers without nulls.

    Raises:
        ValueError: A column is missing or holds anything else; the message names it.
    """
    missing = [column for column in columns if column not in df.columns]
    if missing:
        raise ValueError(f"missing columns {missing}; the frame has {df.columns}")
    for column in columns:
        if n_nulls := df[column].null_count():
            raise ValueError(f"{n_nulls} nulls in column {column!r}: drop these rows, as in drop_nulls({column!r})")
        if not df.schema[column].is_integer():
            raise ValueError(f"column {column!r} is {df.schema[column]}, not whole numbers: cast it, as to pl.Int64")
    return df


def whole_number(name: str, value, least: int) -> int:
    """Take a whole number, NumPy's too.

    Raises:
        ValueError: It is another kind of value, or below `least`; the message has the name and the value.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return number
