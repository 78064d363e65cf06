"""Ratings, movies and users of a dataset, checked before use."""

import shutil
import warnings
from functools import partial
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from utilities.archives import parquet_file
from utilities.own import own_file
from utilities.releases import RELEASES, Scale, lacks
from utilities.settings import settings, shown
from utilities.tables import RATINGS_SCHEMA, USERS_SCHEMA

MOVIES_SCHEMA = pl.Schema({"movieId": pl.Int64, "title": pl.String, "year": pl.Int32, "genres": pl.List(pl.String)})
FOLDS_SCHEMA = pl.Schema({"userId": pl.Int64, "movieId": pl.Int64, "fold": pl.UInt8})
MAX_TIMESTAMP = 10**11  # in seconds it is the year 5138; in milliseconds 1973, before anybody rated


def load_ratings(dataset: str | None = None) -> pl.DataFrame:
    """Load the ratings of a MovieLens release or of a file of one's own.

    With `MOVIELENS_SAMPLE` set, whole users are drawn at random, always the same, until that many ratings are kept.

    Args:
        dataset: Name of the release or path of a file; `MOVIELENS_DATASET` unless given.

    Returns:
        One row per rating, sorted by user, time and movie: `userId` i64, `movieId` i64, `rating` f64 (stars, on
        `rating_scale`), `timestamp` i64 (Unix seconds, UTC; null where an own file has none).

    Raises:
        ValueError: The dataset is unknown, or its file does not hold valid ratings.
        OSError: The file is missing, or cannot be downloaded, read or written.
    """
    return scan_ratings(dataset).collect()


def scan_ratings(dataset: str | None = None) -> pl.LazyFrame:
    """Load the ratings of a dataset lazily: of a large one, only what the query needs is read.

    Args:
        dataset: Name of the release or path of a file; `MOVIELENS_DATASET` unless given.

    Returns:
        The rows and columns of `load_ratings`.

    Raises:
        ValueError: As `load_ratings`.
        OSError: As `load_ratings`.
    """
    ratings, source = _scan(dataset, "ratings")
    if settings(dataset).dataset == "built-in":
        ratings = check_ratings(
            ratings.collect(), source, rating_scale("built-in")
        ).lazy()  # an archive's were checked when it was converted
    sample = settings(dataset).sample
    return ratings if sample is None else sample_users(ratings.collect(), sample).lazy()


def load_movies(dataset: str | None = None) -> pl.DataFrame:
    """Load the movies of a MovieLens release, or what was rated in a file of one's own.

    Args:
        dataset: Name of the release or path of a file; `MOVIELENS_DATASET` unless given.

    Returns:
        One row per movie: `movieId` i64, `title` str without the year or null (of an own file without titles its id),
        `year` i32 or null, `genres` list of str, empty when none is listed.

    Raises:
        ValueError: The dataset is unknown, or its file does not hold movies.
        OSError: The file is missing, or cannot be downloaded, read or written.
    """
    movies, source = _scan(dataset, "movies")
    movies_df = movies.collect()
    genres = pl.col("genres").replace("(no genres listed)", "").fill_null("")
    genres = pl.when(genres == "").then(pl.lit([], dtype=pl.List(pl.String))).otherwise(genres.str.split("|"))
    return _check_schema(movies_df.with_columns(genres=genres), MOVIES_SCHEMA, source).sort("movieId")


def load_users(dataset: str | None = None) -> pl.DataFrame:
    """Load what a MovieLens release says of its users.

    Args:
        dataset: Name of the release or path of a file; `MOVIELENS_DATASET` unless given.

    Returns:
        One row per user: `userId` i64, `age` i32, `gender` str, `occupation` str. In ml-1m an age is the lowest of its
        group, and an occupation a number.

    Raises:
        ValueError: The dataset is unknown, says nothing of its users, or its file does not hold users.
        OSError: The file is missing, or cannot be downloaded, read or written.
    """
    users, source = _scan(dataset, "users", needed="user descriptions")
    return _check_schema(users.collect(), USERS_SCHEMA, source)


def load_folds(dataset: str | None = None) -> pl.DataFrame:
    """Load the folds that a MovieLens release was published with, to compare results by.

    Fold k is the test set of `u{k}`; the other folds are what it is trained on.

    Args:
        dataset: Name of the release or path of a file; `MOVIELENS_DATASET` unless given.

    Returns:
        One row per rating, in the order of `load_ratings` and of its sample: `userId` i64, `movieId` i64, `fold` u8, 1 to 5.

    Raises:
        ValueError: The dataset is unknown, was published without folds, or its file does not hold them.
        OSError: The file is missing, or cannot be downloaded, read or written.
    """
    folds, source = _scan(dataset, "folds", needed="published folds")
    folds_df = _check_schema(folds.collect(), FOLDS_SCHEMA, source)
    rated_df = load_ratings(dataset).select("userId", "movieId")
    return rated_df.join(folds_df, on=["userId", "movieId"], how="left", maintain_order="left")


def needs(what: str, dataset: str | None = None) -> bool:
    """Say whether a dataset has what a section of a notebook needs; if not, print that it is skipped, and why.

    Args:
        what: `"timestamps"`, `"titles"`, `"genres"`, `"user descriptions"` (`load_users`) or `"published folds"`
            (`load_folds`).
        dataset: Name of the release or path of a file; `MOVIELENS_DATASET` unless given.

    Returns:
        Whether the section can run.

    Raises:
        ValueError: The dataset is unknown, or nothing has what is asked for.
    """
    config = settings(dataset)
    lacking = lacks(shown(config.dataset), config.release, what)
    if lacking:
        print(f"skipped: {lacking}")
    return not lacking


def rating_scale(dataset: str | None = None) -> Scale:
    """Say which ratings a dataset can hold.

    Args:
        dataset: Name of the release or path of a file; `MOVIELENS_DATASET` unless given.

    Returns:
        `lowest`, `highest` and `step` in stars, and `bins`, the edges of a histogram's bins.

    Raises:
        ValueError: The dataset is unknown.
    """
    return settings(dataset).release.scale


def save_parquet(df: pl.DataFrame, path: Path) -> None:
    """Write a frame so that the file is either whole or not there.

    Args:
        df: What to write.
        path: Where to; the folder must exist. An older file is replaced, and who may
            read it stays as it was.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        partial_file = Path(folder) / path.name
        try:
            df.write_parquet(partial_file)
        except pl.exceptions.ComputeError as error:  # what polars makes of a full disk
            raise OSError(f"cannot write {path}: {error}") from error
        if path.exists():
            shutil.copymode(path, partial_file)
        partial_file.replace(path)


def check_ratings(ratings_df: pl.DataFrame, source: str, scale: Scale) -> pl.DataFrame:
    """Refuse what are not ratings, and put the rest in order.

    Of several ratings of one movie by one user the latest is kept, with a warning that says how many were dropped.

    Args:
        ratings_df: The columns of `load_ratings`, in any order of rows.
        source: Where the frame comes from, for the messages.
        scale: The ratings that can be given; only its ends are checked.

    Returns:
        The ratings sorted by user, time and movie.

    Raises:
        ValueError: A column is missing, unknown or of another type, a value is null, NaN or no rating, or no row is left.
    """
    ratings_df = _check_schema(ratings_df, RATINGS_SCHEMA, source)
    if ratings_df.is_empty():
        raise ValueError(f"{source}: no ratings in it; delete the file and load it again")
    for column, n_nulls in ratings_df.null_count().row(0, named=True).items():
        if n_nulls:
            raise ValueError(f"{source}: {n_nulls} nulls in column {column!r}; every rating needs all four values")
    allowed = {"rating": (*scale[:2], "stars"), "timestamp": (0, MAX_TIMESTAMP, "Unix seconds (not milliseconds)")}
    for column, (lowest, highest, unit) in allowed.items():
        wrong = ratings_df.filter(~pl.col(column).is_between(lowest, highest))
        if not wrong.is_empty():
            first = wrong.row(0, named=True)
            raise ValueError(
                f"{source}: {wrong.height} {column}s outside {lowest} to {highest} {unit}, the first {first[column]} "
                f"by user {first['userId']} for movie {first['movieId']}; correct or drop them"
            )
    ratings_df = ratings_df.sort("userId", "timestamp", "movieId")
    n_dropped = ratings_df.height - ratings_df.group_by("userId").agg(pl.col("movieId").n_unique())["movieId"].sum()
    if not n_dropped:
        return ratings_df
    warnings.warn(f"{source}: {n_dropped} earlier ratings of a movie by the same user dropped", stacklevel=2)
    return ratings_df.unique(["userId", "movieId"], keep="last", maintain_order=True)


def sample_users(ratings_df: pl.DataFrame, n_ratings: int | None) -> pl.DataFrame:
    """Keep the ratings of randomly drawn users, always the same, until there are `n_ratings`.

    Whole users, because ratings drawn one by one would leave nobody with enough of them to learn from; only the last
    user drawn may be cut short.
    """
    if n_ratings is None or n_ratings >= ratings_df.height:
        return ratings_df
    users = ratings_df["userId"].unique().sort().to_numpy()
    draw_df = pl.DataFrame({"userId": np.random.default_rng(42).permutation(users)}).with_row_index("draw")
    return (
        ratings_df.join(draw_df, on="userId", maintain_order="left")
        .sort("draw", maintain_order=True)
        .head(n_ratings)
        .drop("draw")
        .sort("userId", "timestamp", "movieId")
    )


def _scan(dataset: str | None, table: str, needed: str | None = None) -> tuple[pl.LazyFrame, str]:
    """Open a table of a release, with a name for messages; one that only some releases have by what it is `needed` for."""
    config = settings(dataset)
    dataset = config.dataset
    if needed and (lacking := lacks(shown(dataset), config.release, needed)):
        raise ValueError(f"{lacking}; set MOVIELENS_DATASET, or ask utilities.needs({needed!r}) first")
    if dataset == "built-in":
        path, remedy = Path(str(files("utilities") / "sample" / f"{table}.parquet")), "install the package again"
    elif dataset not in RELEASES:
        path, remedy = own_file(Path(dataset), table), "load again"
    else:
        check = partial(check_ratings, scale=rating_scale(dataset))
        path, remedy = parquet_file(dataset, table, check), "delete it and load again"
    try:
        pl.read_parquet_schema(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing; {remedy}") from None
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path} is not a readable parquet file ({error}); {remedy}") from error
    return pl.scan_parquet(path), f"{shown(dataset)} {table}"


def _check_schema(df: pl.DataFrame, schema: pl.Schema, source: str) -> pl.DataFrame:
    """Refuse missing, unknown and wrongly typed columns; give the columns in the schema's order."""
    missing, extra = [c for c in schema if c not in df.columns], [c for c in df.columns if c not in schema]
    if missing or extra:
        raise ValueError(f"{source}: missing columns {missing}, unknown columns {extra}; expected {list(schema)}")
    for column, dtype in schema.items():
        if df.schema[column] != dtype:
            raise ValueError(f"{source}: column {column!r} is {df.schema[column]}, expected {dtype}")
    return df.select(schema.names())
