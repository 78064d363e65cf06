"""A file of ratings of one's own, converted once to what the package reads: ratings on a scale, and ids that are numbers.

It works in blocks and in ranges of users, so that memory is bounded by the number of users and items, not of ratings.
The tables lie in the data folder, under the file's name and a digest of where and what it is and of the settings that tell
how to read it; the description is moved there last, so that what it describes is whole.
"""

import gzip
import json
import os
import re
import zlib
from hashlib import blake2b
from math import log2
from pathlib import Path

import polars as pl

from utilities.archives import alone
from utilities.columns import ONE_USER, named_columns
from utilities.exports import Reading, also, read_titles, scan_ratings_of
from utilities.releases import LARGE, OWN, SMALL, Release, Scale
from utilities.scales import find_scale, looks_unrated, read_not_rated, read_scale
from utilities.settings import data_folder, in_repository, shown

FORMAT = 3  # of the converted tables: counted up when a change makes the older ones, or their notes, useless
TABLES = ("ratings", "movies")
LARGE_FROM = 5_000_000  # ratings
STEPS_AN_EPOCH = 40
AT_LEAST = {"ratings": 500, "users": 20, "items": 20}  # with fewer, a tenth of them tests nothing
ROWS_AT_ONCE = 2**21  # of whole users, sorted in memory
LISTED = 200  # letters of the names of columns that are not used


def own_release(path: Path) -> Release:
    """Describe a file of ratings as if it were a release, converted if need be.

    Args:
        path: A table of text, gzipped or not, a parquet file or a folder of these.

    Returns:
        Its scale, what it has, and defaults by the number of its ratings; `notes` say what was found in it.

    Raises:
        ValueError: It does not hold ratings; the message names the line or row and what to do.
        OSError: It cannot be read, or the data folder not be written.
    """
    key, folder = _key(path), data_folder()
    files = [folder / f"{key}.json", *(folder / f"{key}.{table}.parquet" for table in TABLES)]
    try:
        if not all(file.exists() for file in files):
            with alone(folder, key) as work:
                if not all(file.exists() for file in files):  # the process we waited for may have made them
                    _convert(path, key, work)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{shown(str(path))} is broken off or damaged: {error}; get it again") from error
    except (OSError, pl.exceptions.PolarsError) as error:
        if isinstance(error, OSError) and error.errno is None:
            raise  # ours, and clear already
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        remedy = "free space there, or set MOVIELENS_DATA_DIR to another folder"
        if not isinstance(error, OSError) and "os error" not in reason:  # with which polars reports a full disk
            remedy = "get it again, or write its columns of user, item, rating and time to one parquet file"
        raise OSError(f"{shown(str(path))}: cannot read it or convert it in {folder}: {reason}; {remedy}") from error
    found = json.loads(files[0].read_text(encoding="utf-8"))
    OWN[path.name] = Release(
        **(LARGE if found["n_ratings"] >= LARGE_FROM else SMALL | {"batch_size": _batch_size(found["n_ratings"])}),
        scale=Scale(*found["scale"]),
        has=frozenset(found["has"]),
        notes=found["notes"],
    )
    return OWN[path.name]


def _batch_size(n_ratings: int) -> int:
    """Give a power of two that leaves some forty steps an epoch or more: a few steps an epoch learn nothing."""
    return min(SMALL["batch_size"], max(16, 2 ** int(log2(n_ratings / STEPS_AN_EPOCH))))


def own_file(path: Path, table: str) -> Path:
    """Give a table of a file that `own_release` has described: `"ratings"` or `"movies"`, as parquet.

    Of ids that are no whole numbers, `"user_ids"` and `"movie_ids"` have each number's text.
    """
    return data_folder() / f"{_key(path)}.{table}.parquet"


def _key(path: Path) -> str:
    """Name a conversion: another file, a changed one and other settings have another name."""
    said = [os.environ.get(f"MOVIELENS_{name}", "") for name in ("COLUMNS", "SCALE", "NOT_RATED")]
    files = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in [*_parts(path), *_titles()]]
    digest = blake2b(json.dumps([FORMAT, str(path), said, files]).encode(), digest_size=6).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', path.name.split('.')[0])[:40]}-{digest}"


def _parts(path: Path) -> list[Path]:
    """List the files of a dataset: itself, or the parquet files in it."""
    parts = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not parts:
        raise ValueError(f"{shown(str(path))} is a folder without parquet files; name a file in it")
    return parts


def _titles() -> list[Path]:
    """Give the file of titles, if one is set."""
    name = os.environ.get("MOVIELENS_TITLES")
    if name and not in_repository(name).is_file():
        raise ValueError(f"MOVIELENS_TITLES: there is no file {name!r} (relative paths start at the repository)")
    return [in_repository(name)] if name else []


def _convert(path: Path, key: str, work: Path) -> None:
    """Write the tables and the description of a file of ratings, each under its name once all are whole."""
    scale = read_scale(os.environ.get("MOVIELENS_SCALE", "").strip())
    not_rated, leave_empty = read_not_rated(os.environ.get("MOVIELENS_NOT_RATED", "").strip())
    reading = Reading(source=shown(str(path)), scale=scale, not_rated=not_rated, leave_empty=leave_empty)
    named = named_columns(os.environ.get("MOVIELENS_COLUMNS", "").strip())
    if not _titles() and (unused := [role for role in ("title", "year", "genres") if role in named]):
        raise ValueError(
            f"MOVIELENS_COLUMNS: {unused[0]}={named[unused[0]]} is of a table of titles; set MOVIELENS_TITLES to its path, "
            "which can be that of the ratings"
        )
    rows = scan_ratings_of(_parts(path), named, reading, work)
    scale = _find_scale(rows, reading)
    ratings = rows.drop_nulls("rating").filter(~pl.col("rating").is_in(reading.not_rated or []))
    users_df, movies_df = (_number(ratings, column) for column in ("userId", "movieId"))
    n_ratings = _check_enough(users_df, movies_df, reading)
    n_ratings -= _write_ratings(ratings, users_df, movies_df, work, reading)
    reading.notes["ratings"] = f"{n_ratings:,} by {users_df.height:,} users of {movies_df.height:,} items"
    has = _write_movies(movies_df, _parts(path), named, work, reading) | ({"timestamps"} if reading.has_time else set())
    for role, name, df in (("user", "user_ids", users_df), ("item", "movie_ids", movies_df)):
        if role in reading.text_ids:
            df.drop("len").write_parquet(work / f"{name}.parquet")
            reading.notes[f"{role} ids"] = f"text, numbered 1 to {df.height:,}"
    unused = {"unused": _unused(reading, "time" in named)} if reading.unused else {}
    notes = {"columns": reading.notes["columns"], **unused, **reading.notes}
    found = {"n_ratings": n_ratings, "scale": scale, "has": sorted(has), "notes": notes}
    for name in ("ratings", "movies", "user_ids", "movie_ids"):
        if (work / f"{name}.parquet").exists():
            (work / f"{name}.parquet").replace(work.parent / f"{key}.{name}.parquet")
    (work / "found.json").write_text(json.dumps(found), encoding="utf-8")
    (work / "found.json").replace(work.parent / f"{key}.json")


def _unused(reading: Reading, is_said: bool) -> str:
    """List the columns that are not read, as far as there is room; `is_said` is whether the one of times was named."""
    listed = reading.unused
    while len(", ".join(listed)) > LISTED and len(listed) > 1:
        listed = listed[:-1]
    n_more = len(reading.unused) - len(listed)
    more = f" and {n_more} more" if n_more else ""
    hint = "" if reading.has_time or is_said else "; if one has the times, name it: time=… in MOVIELENS_COLUMNS"
    return f"{', '.join(listed)[:LISTED]}{more}{hint}"


def _find_scale(rows: pl.LazyFrame, reading: Reading) -> Scale:
    """Find the scale, or refuse ratings among which some seem to mean "not rated"."""
    all_df = rows.group_by(pl.col("rating").round(3)).len().collect(engine="streaming")
    counts_df = all_df.drop_nulls("rating").filter(~pl.col("rating").is_in(reading.not_rated or []))
    n_all, n_kept = all_df["len"].sum(), counts_df["len"].sum()
    if reading.not_rated or reading.leave_empty:
        n_empty = all_df.filter(pl.col("rating").is_null())["len"].sum()
        left_out = {"empty": n_empty} if reading.leave_empty else {}
        if reading.not_rated:
            left_out[", ".join(f"{value:g}" for value in reading.not_rated)] = n_all - n_kept - n_empty
        reading.notes["not rated"] = ", ".join(f"{what}: {n:,} rows left out" for what, n in left_out.items())
    if not n_kept:
        raise ValueError(f"{reading.source}: no ratings in it")
    value = looks_unrated(counts_df) if reading.not_rated is None else None
    if value is not None and not (reading.scale and reading.scale[0] <= value <= reading.scale[1]):
        others = counts_df.filter(pl.col("rating") != value)["rating"]
        n = counts_df.filter(pl.col("rating") == value)["len"].item()
        raise ValueError(
            f"{reading.source}: {n:,} of {n_all:,} ratings are {value:g}, the others go from {others.min():g} to "
            f"{others.max():g}. If {value:g} means that there is no rating, set {also(reading, f'{value:g}')} to leave "
            f"these rows out; if it is a rating, set {also(reading, 'none')}"
        )
    scale, reading.notes["scale"] = find_scale(counts_df, reading.scale, reading.source)
    return scale


def _number(ratings: pl.LazyFrame, column: str) -> pl.DataFrame:
    """List ids in their order, with how often they come, and a number from 1 if they are text."""
    ids_df = ratings.group_by(column).len().collect(engine="streaming").sort(column)
    if ids_df.schema[column] != pl.String:
        return ids_df
    return ids_df.rename({column: "text"}).with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(column))


def _check_enough(users_df: pl.DataFrame, movies_df: pl.DataFrame, reading: Reading) -> int:
    """Give the number of ratings, or refuse too few."""
    found = {"ratings": users_df["len"].sum(), "users": users_df.height, "items": movies_df.height}
    if found["users"] == 1:
        raise ValueError(f"{reading.source}: all ratings are by one user. {ONE_USER}")
    for role in ("user", "item"):
        if found[f"{role}s"] == found["ratings"] >= AT_LEAST["ratings"]:
            raise ValueError(
                f"{reading.source}: each of the {found['ratings']:,} ratings has another {role}, as if the column numbered "
                f"the rows ({reading.notes['columns']}); the columns are {', '.join(reading.names)[:300]}. Say which one "
                f"has the {role}s: {role}=… in MOVIELENS_COLUMNS"
            )
    if any(found[what] < least for what, least in AT_LEAST.items()):
        needed = ", ".join(f"{least} {what}" for what, least in AT_LEAST.items())
        counted = ", ".join(f"{n:,} {what}" for what, n in found.items())
        raise ValueError(
            f"{reading.source}: {counted} are too few to learn from and to test on; at least {needed} are needed, and some "
            "thousands of ratings for results that hold"
        )
    return found["ratings"]


def _write_ratings(
    ratings: pl.LazyFrame, users_df: pl.DataFrame, movies_df: pl.DataFrame, work: Path, reading: Reading
) -> int:
    """Write ratings by user, time and movie, some users at a time; give the number of those left out as rated again."""
    user, n_dropped = "text" if "user" in reading.text_ids else "userId", 0
    parts_df = users_df.group_by(pl.col("len").cum_sum() // ROWS_AT_ONCE, maintain_order=True).agg(
        first=pl.col(user).first(), last=pl.col(user).last()
    )
    for number, (_, first, last) in enumerate(parts_df.iter_rows()):
        df = ratings.filter(pl.col("userId").is_between(pl.lit(first), pl.lit(last))).collect(engine="streaming")
        n_rows = df.height
        for column, ids_df in (("userId", users_df), ("movieId", movies_df)):
            if "text" in ids_df.columns:
                numbers_df = ids_df.select("text", number=column)
                df = df.join(numbers_df, left_on=column, right_on="text", how="left", maintain_order="left")
                df = df.drop(column).rename({"number": column})
        df = df.select("userId", "movieId", "rating", "timestamp").sort(
            "userId", "timestamp", "movieId", maintain_order=True
        )
        df = df.unique(["userId", "movieId"], keep="last", maintain_order=True)
        n_dropped += n_rows - df.height
        df.write_parquet(work / f"part-{number:06}.parquet", compression="lz4")
    if n_dropped:
        reading.notes["duplicates"] = (
            f"{n_dropped:,} left out: rated again {'later' if reading.has_time else 'further down'}"
        )
    pl.scan_parquet(work / "part-*.parquet").sink_parquet(work / "ratings.parquet", compression="lz4")
    return n_dropped


def _write_movies(
    movies_df: pl.DataFrame, files: list[Path], named: dict[str, str], work: Path, reading: Reading
) -> set[str]:
    """Write what was rated, with titles if there are any, else with ids in their place; say what is known of it."""
    item = pl.col("text" if "item" in reading.text_ids else "movieId").cast(pl.String)
    movies_df = movies_df.select("movieId", item=item)
    has, unknown = set(), {"title": pl.String, "year": pl.Int32, "genres": pl.String}
    titles_df = pl.DataFrame(schema={"item": pl.String, **unknown})
    for path in _titles():
        titles_df, (ids, *others) = read_titles(path, named, reading.item, movies_df["item"], shown(str(path)))
        n_known = movies_df.join(titles_df.drop_nulls("title"), on="item", how="semi").height
        if not n_known:
            raise ValueError(
                f"{shown(str(path))}: none of its {titles_df.height:,} ids, as {titles_df['item'].first()!r}, was rated in "
                f"{reading.source}, where ids are as {movies_df['item'][0]!r}"
            )
        reading.notes["titles"] = f"{n_known:,} of {movies_df.height:,} items, by column {ids} of {shown(str(path))}"
        if path in files:
            reading.unused = [name for name in reading.unused if name not in (ids, *others)]
        has = {"titles"} | ({"genres"} if titles_df["genres"].count() else set())
    movies_df = movies_df.join(titles_df, on="item", how="left")
    movies_df = movies_df.select("movieId", pl.coalesce("title", "item").alias("title"), "year", "genres")
    movies_df.write_parquet(work / "movies.parquet")
    return has
