"""MovieLens' tables of text, read into frames: any order of columns, and an error that says which value cannot be read."""

import csv
import dataclasses
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import IO

import polars as pl

from utilities.releases import Layout

BLOCK_BYTES = 2**25  # of text at a time: bounds the memory, and a file up to this size may have its rows in any order
RATINGS_SCHEMA = pl.Schema({"userId": pl.Int64, "movieId": pl.Int64, "rating": pl.Float64, "timestamp": pl.Int64})
USERS_SCHEMA = pl.Schema({"userId": pl.Int64, "age": pl.Int32, "gender": pl.String, "occupation": pl.String})
N_FOLDS = 5
YEAR = r"\s*\((\d{4})(?:\s?[-–]\s?\d{0,4})?\)\s*$"  # at the end of a title
# fmt: off
GENRES_100K = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]
# fmt: on


def read_ratings(file: IO[bytes], layout: Layout, source: str, check: Callable) -> Iterator[pl.DataFrame]:
    """Read ratings block by block.

    Args:
        file: The table, from its start.
        layout: How it is written.
        source: What to call it in messages.
        check: What the ratings of some users have to pass; it is given `source`, too.

    Yields:
        What `check` returned, each user's ratings in one frame and users in their order.

    Raises:
        ValueError: A line cannot be read, or the users of a large file are in no order.
    """
    schema, first_line = RATINGS_SCHEMA, 1
    if layout.header:
        schema, first_line = _columns(file, schema, layout, source), 2
    held, last_user = pl.DataFrame(schema=RATINGS_SCHEMA), None
    while text := file.read(BLOCK_BYTES):
        text += file.readline()
        block = parse(text, schema, layout, source, first_line).select(RATINGS_SCHEMA.names())
        first_line += text.count(b"\n")
        if block.is_empty():
            continue
        is_complete = pl.col("userId") < block["userId"].min()
        complete, held = held.filter(is_complete), pl.concat([held.filter(~is_complete), block])
        if last_user is not None and held["userId"].min() <= last_user:
            raise ValueError(f"{source}: not ordered by user, as large releases are; get the archive again")
        if not complete.is_empty():
            last_user = complete["userId"].max()
            yield check(complete, source)
    yield check(held, source)


def read_movies(file: IO[bytes], layout: Layout, source: str) -> pl.DataFrame:
    """Read movies, each once.

    Args:
        file: The table, from its start.
        layout: How it is written.
        source: What to call it in messages.

    Returns:
        One row per movie, in the file's order: `movieId` i64, `title` str without the year, `year` i32 or null, `genres`
        str, separated by `|`.

    Raises:
        ValueError: A line cannot be read, or there is none.
    """
    schema, first_line = {"movieId": pl.Int64, "title": pl.String, "genres": pl.String}, 1
    if layout.movies == "u.item":
        layout = dataclasses.replace(layout, separator="|")
        head = {"movieId": pl.Int64, "title": pl.String, "_released": pl.String, "_video": pl.String, "_url": pl.String}
        schema = head | dict.fromkeys(GENRES_100K, pl.Int8)
    elif layout.header:
        schema, first_line = _columns(file, schema, layout, source), 2
    movies_df = parse(file.read(), schema, layout, source, first_line)
    if movies_df.is_empty():
        raise wrong(source, first_line, "no movies in it")
    if layout.movies == "u.item":
        named = [pl.when(pl.col(genre) == 1).then(pl.lit(genre)) for genre in GENRES_100K[1:]]
        movies_df = movies_df.with_columns(genres=pl.concat_str(named, separator="|", ignore_nulls=True))
    return _first_listed(movies_df, "movie", source).select(
        "movieId",
        pl.col("title").str.replace(YEAR, "").str.strip_chars(),
        pl.col("title").str.extract(YEAR).cast(pl.Int32).alias("year"),
        "genres",
    )


def read_users(file: IO[bytes], layout: Layout, source: str) -> pl.DataFrame:
    """Read users, each once.

    Args:
        file: The table, from its start.
        layout: How it is written.
        source: What to call it in messages.

    Returns:
        One row per user, in the file's order: `userId` i64, `age` i32, `gender` str, `occupation` str.

    Raises:
        ValueError: A line cannot be read, or there is none.
    """
    columns = ["userId", "gender", "age", "occupation", "zip"]
    if layout.users == "u.user":
        layout = dataclasses.replace(layout, separator="|")
        columns = ["userId", "age", "gender", "occupation", "zip"]
    schema = {column: USERS_SCHEMA.get(column, pl.String) for column in columns}
    users_df = parse(file.read(), schema, layout, source, 1)
    if users_df.is_empty():
        raise wrong(source, 1, "no users in it")
    return _first_listed(users_df, "user", source).select(USERS_SCHEMA.names())


def read_folds(file: IO[bytes], layout: Layout, source: str) -> pl.DataFrame:
    """Read ratings with the published fold that each is a test rating of: the first, second, … fifth of the lines.

    Args:
        file: The table of ratings, from its start.
        layout: How it is written.
        source: What to call it in messages.

    Returns:
        One row per line, in the file's order: the columns of ratings, and `fold` u8, from 1.

    Raises:
        ValueError: A line cannot be read.
    """
    lines_df = parse(file.read(), RATINGS_SCHEMA, layout, source, 1).select(RATINGS_SCHEMA.names())
    fold = pl.int_range(pl.len()) * N_FOLDS // pl.len() + 1
    return lines_df.with_columns(fold=fold.cast(pl.UInt8))


def _first_listed(df: pl.DataFrame, what: str, source: str) -> pl.DataFrame:
    """Drop what was listed before, with a warning."""
    twice = df.filter(~pl.col(f"{what}Id").is_first_distinct())[f"{what}Id"]
    if not twice.is_empty():
        warnings.warn(f"{source}: {len(twice)} lines of {what}s listed before, as {twice[0]}, dropped", stacklevel=3)
    return df.unique(f"{what}Id", keep="first", maintain_order=True)


def _columns(file: IO[bytes], schema: dict, layout: Layout, source: str) -> dict:
    """Read a header: the schema in the file's order, with columns that nobody asked for as `_1`, …."""
    header = _decode(file.readline(), layout.encoding, source, 1)
    names = [re.sub(r"[\W_]", "", name).lower() for name in header.split(layout.separator)]
    known = {column.lower(): column for column in schema}
    if any(names.count(name) != 1 for name in known):
        expected = layout.separator.join(schema)
        raise wrong(source, 1, f"{header.strip()[:80]!r} does not name each of {expected!r} once")
    names = [known.get(name, f"_{i}") for i, name in enumerate(names)]
    return {name: schema.get(name, pl.String) for name in names}


def parse(text: bytes, schema: dict, layout: Layout, source: str, first_line: int) -> pl.DataFrame:
    """Read lines of values; columns whose names begin with `_` may be anything.

    Args:
        text: Whole lines.
        schema: What the values of a line are, in their order.
        layout: How they are written; quoted where a header is.
        source: What to call the table in messages.
        first_line: The number of the first line, for messages.

    Returns:
        One row per line, empty lines left out.

    Raises:
        ValueError: A line has too few values, too many, one of another type, or quotes that do not match.
    """
    if not text.isascii():
        text = _decode(text, layout.encoding, source, first_line).encode()
    separator = layout.separator
    if len(separator) > 1:  # polars knows but one byte
        text, separator = text.replace(separator.encode(), b"\x1f"), "\x1f"
    read = partial(pl.read_csv, text, has_header=False, separator=separator, quote_char='"' if layout.header else None)
    needed = [column for column in schema if not column.startswith("_")]
    with suppress(pl.exceptions.PolarsError):
        df = read(schema=schema)
        if not any(df.select(needed).null_count().row(0)):
            return df
    text_schema = dict.fromkeys([*schema, "_more"], pl.String)
    try:
        text_df = read(schema=text_schema, missing_columns="insert", extra_columns="ignore", truncate_ragged_lines=True)
    except pl.exceptions.PolarsError as error:
        raise wrong(source, first_line + line_of(text, separator, quoted=True), "quotes do not match") from error
    text_df = text_df.filter(pl.any_horizontal(pl.col(*schema).is_not_null()))
    df, row, what = _cast(text_df, schema, needed)
    if what is None:
        return df
    raise wrong(source, first_line + line_of(text, separator, layout.header, row), what)


def line_of(text: bytes, separator: str, quoted: bool, row: int | None = None) -> int:
    """Count the lines before a row, empty ones, too; with None those before quotes that do not match."""
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    rows = csv.reader(io.StringIO(text.decode()), delimiter=separator, quoting=quoting, strict=row is None)
    n_rows = n_lines = 0
    with suppress(csv.Error):
        for values in rows:
            if any(values):
                if n_rows == row:
                    break
                n_rows += 1
            n_lines = rows.line_num
    return n_lines


def _cast(text_df: pl.DataFrame, schema: dict, needed: list[str]) -> tuple[pl.DataFrame, int, str | None]:
    """Turn text into numbers, 1.0 into the whole number it is; give the row and the value that is none, if one is."""
    numbers = {column: dtype for column, dtype in schema.items() if dtype != pl.String}
    plain = pl.col(list(numbers)).str.strip_chars().str.replace(r"\.0+$", "")
    df = text_df.with_columns(plain).cast(numbers, strict=False)
    is_wrong = pl.any_horizontal(pl.col(needed).is_null(), pl.col("_more").is_not_null())
    wrong = df.select(is_wrong.arg_true()).to_series()
    if wrong.is_empty():
        return df, 0, None
    text, values = (frame.row(wrong[0], named=True) for frame in (text_df, df))
    column = next((column for column in needed if values[column] is None), "_more")
    meaning = "a number" if schema.get(column) == pl.Float64 else "a whole number"
    meaning += " of Unix seconds" * (column == "timestamp")
    if text[column] is None:
        what = f"there is no {column}"
    else:
        what = (
            f"{column} is {text[column]!r}, not {meaning}" if column in needed else f"{text[column]!r} is one too many"
        )
    return df, wrong[0], what


def _decode(text: bytes, encoding: str, source: str, first_line: int) -> str:
    """Turn bytes into text; what is written in another encoding is refused by its line."""
    try:
        return text.decode(encoding)
    except UnicodeDecodeError as error:
        line = text[: error.end].splitlines()[-1]
        what = f"{line[-40:]!r} is not {encoding}: save the table as {encoding}"
        raise wrong(source, first_line + text.count(b"\n", 0, error.start), what) from error


def wrong(source: str, line: int, what: str) -> ValueError:
    """Say which line of a table cannot be read, and why."""
    return ValueError(f"{source}, line {line}: {what}; correct it or get the file again")
