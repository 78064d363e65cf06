"""Tables as other programs and sites export them, read into the columns of ratings, or refused by line.

Text is read in blocks, whatever its encoding, separator and quoting; parquet is scanned. What is found in the first rows
(how times are written, whether 3,5 is three and a half) holds for the rest: a row that does not keep to it is refused.
"""

import codecs
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import polars as pl

from utilities import tables
from utilities.columns import Columns, find_columns, find_titles
from utilities.releases import Layout

HEAD_LINES = 20
MAX_TIMESTAMP = 10**11  # Unix seconds; above, they are milliseconds, microseconds or nanoseconds
UNITS = {1: "seconds", 10**3: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}
DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y")
DATES = (
    *(day + clock for clock in ("", " %H:%M:%S%.f", " %H:%M") for day in DAYS),
    *("%Y-%m-%d %H:%M:%S%.f%z", "%m %d, %Y", "%b %d, %Y", "%B %d, %Y", "%d %b %Y"),
)
QUOTED = ",;|"  # separators of tables in which quotes are expected; in others only if the first lines have some


@dataclass
class Reading:
    """How a table is read, and what there is to tell of it.

    Attributes:
        source: What messages call it.
        scale: Lowest and highest rating that is allowed, and a step, as far as they are set.
        not_rated: Numbers that stand for no rating; None if nobody has said.
        item: What the column of items is called.
        has_time: Whether there are times.
        text_ids: Those of `user` and `item` whose ids are not all whole numbers.
        date: How times are written, one of `DATES`; None for numbers.
        unit: How many of the numbers make a second.
        decimal_comma: Whether 3,5 is three and a half.
        n_recoded: How many lines are not UTF-8.
        notes: What to tell, by a word.
    """

    source: str
    scale: tuple[float, ...] = ()
    not_rated: tuple[float, ...] | None = None
    item: str = "item"
    has_time: bool = False
    text_ids: set[str] = field(default_factory=set)
    date: str | None = None
    unit: int = 1
    decimal_comma: bool = False
    n_recoded: int = 0
    notes: dict[str, str] = field(default_factory=dict)


def scan_ratings_of(files: list[Path], named: dict[str, str], reading: Reading, work: Path) -> pl.LazyFrame:
    """Open a table of ratings, every row of which is valid.

    Args:
        files: One file of text, or parquet files.
        named: The columns that are named for roles.
        reading: What is set; what is found is added.
        work: A folder for what text is turned into.

    Returns:
        In the order of the rows, `userId` and `movieId`, i64, or str where `reading.text_ids` has them, `rating` f64, and
        `timestamp` i64, null if there is no time. Ratings that mean "not rated" are among them.

    Raises:
        ValueError: A column is not found, or a value cannot be read; the message has the line or the row.
    """
    ratings = (_scan_parquet if _is_parquet(files[0]) else _scan_text)(files, named, reading, work)
    if reading.n_recoded:
        reading.notes["encoding"] = f"lines that are not UTF-8, read as Windows-1252: {reading.n_recoded:,}"
    return ratings


def read_titles(path: Path, item: str, source: str) -> pl.DataFrame:
    """Read a table of titles.

    Args:
        path: A file of text or parquet.
        item: What the ratings call their column of ids.
        source: What to call the table in messages.

    Returns:
        One row per id, the first listed: `item` str, `title` str, `year` i32, `genres` str, separated by `|`; what is not
        known is null.

    Raises:
        ValueError: A column is not found, or a line cannot be read.
    """
    if _is_parquet(path):
        df = pl.read_parquet(path)
        df = df.with_columns(pl.col(pl.List(pl.String)).list.join("|")).select(pl.all().cast(pl.String, strict=False))
        columns = find_titles(_lines(df), item, source)
        df = df.select(pl.nth(i).alias(role) for role, i in columns.of.items())
    else:
        with _open(path, source) as file:
            text = b"".join(_blocks(file, Reading(source)))
        columns = find_titles(_head(text), item, source)
        df = _parse(text.partition(b"\n")[2], columns, ["item"], source, 2)
    missing = [pl.lit(None, pl.String).alias(name) for name in ("year", "genres") if name not in df.columns]
    df = df.with_columns(pl.col("title").str.strip_chars(), *missing).unique("item", keep="first", maintain_order=True)
    in_title = pl.col("title").str.extract(tables.YEAR)
    return df.select(
        _clean("item"),
        pl.col("title").str.replace(tables.YEAR, "") if "year" not in columns.of else "title",
        (pl.col("year").str.extract(r"(\d{4})") if "year" in columns.of else in_title).cast(pl.Int32).alias("year"),
        pl.col("genres").str.replace_all(r"[\[\]'\"]", "").str.replace_all(r"\s*[,;|]\s*", "|"),
    )


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _scan_parquet(files: list[Path], named: dict, reading: Reading, work: Path) -> pl.LazyFrame:
    table = pl.scan_parquet(files)
    columns = find_columns(_lines(table.head(HEAD_LINES).collect()), named, reading.source)
    table = table.select(pl.nth(i).alias(role) for role, i in columns.of.items())
    head_df = table.head(2**17).collect()
    _look(head_df, columns, reading)
    maybe_text = [role for role in ("user", "item") if not head_df.schema[role].is_integer()]
    table = table.with_columns(map(_clean, maybe_text))
    whole = table.select(pl.lit(True), *map(_is_whole, maybe_text)).collect(engine="streaming")
    reading.text_ids = {role for role in maybe_text if not whole[role].item()}
    typed = _typed(table, head_df.schema, reading)
    wrong_df = typed.with_row_index("row").filter(_is_wrong(reading)).head(1).collect(engine="streaming")
    if not wrong_df.is_empty():
        row = wrong_df.row(0, named=True)
        raise ValueError(f"{reading.source}, row {row['row'] + 1}: {_what(row, reading)}; correct it or drop the row")
    return _select(typed)


def _scan_text(files: list[Path], named: dict, reading: Reading, work: Path) -> pl.LazyFrame:
    columns, first_line = None, 1
    with _open(files[0], reading.source) as file:
        for number, text in enumerate(_blocks(file, reading)):
            if columns is None:
                columns = find_columns(_head(text), named, reading.source)
                if columns.header:
                    text, first_line = text.partition(b"\n")[2], 2
            df = _parse(text, columns, list(columns.of), reading.source, first_line)
            df = df.with_columns(_clean("user"), _clean("item"))
            if number == 0:
                _look(df, columns, reading)
            whole = df.select(_is_whole(role) for role in ("user", "item"))
            text_ids = {role for role in whole.columns if not whole[role].item()} - reading.text_ids
            reading.text_ids |= text_ids
            if text_ids and number > 0:
                reading.n_recoded = 0
                return _scan_text(files, named, reading, work)  # again from the start, with these ids as text
            df = _typed(df, df.schema, reading)
            wrong_df = df.with_row_index("row").filter(_is_wrong(reading)).head(1)
            if not wrong_df.is_empty():
                row = wrong_df.row(0, named=True)
                layout = _layout(columns, text)
                line = first_line + tables.line_of(text, layout.separator[0], layout.header, row["row"])
                raise tables.wrong(reading.source, line, _what(row, reading))
            _select(df).write_parquet(work / f"block-{number:06}.parquet", compression="lz4")
            first_line += text.count(b"\n")
    if columns is None:
        raise ValueError(f"{reading.source}: no ratings in it")
    return pl.scan_parquet(work / "block-*.parquet")


def _parse(text: bytes, columns: Columns, needed: list[str], source: str, first_line: int) -> pl.DataFrame:
    """Read lines into a column of text for each role; those `needed` may not be empty."""
    names = {i: role if role in needed else f"_{role}" for role, i in columns.of.items()}
    schema = {names.get(i, f"_{i}"): pl.String for i in range(len(columns.names))}
    df = tables.parse(text, schema, _layout(columns, text), source, first_line)
    return df.select(pl.col(names[i]).alias(role) for role, i in columns.of.items())


def _layout(columns: Columns, text: bytes) -> Layout:
    """Say how a table is written, for `tables.parse`, which expects quotes where it expects a header."""
    quoted = columns.separator in QUOTED or re.search(rb'(^|\t)"', text[: 2**16], re.MULTILINE) is not None
    return Layout("", "", columns.separator, header=quoted and columns.separator != "::", encoding="utf-8")


# From bytes to lines of UTF-8


def _open(path: Path, source: str) -> IO[bytes]:
    """Open a file of text, unpacked and past its byte order mark, UTF-16 as UTF-8."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"PK"):
        raise ValueError(
            f"{source} is a zip archive or a workbook: unpack it, or save the sheet as CSV, and name that file"
        )
    if start[:1] in (b"{", b"["):
        raise ValueError(
            f"{source} is JSON: turn it into a table first, in polars with pl.scan_ndjson(…) or pl.read_json(…), "
            '.select(…) of user, item, rating and time, and .sink_parquet("ratings.parquet")'
        )
    file = (gzip.open if start.startswith(b"\x1f\x8b") else Path.open)(path, "rb")
    start = file.read(3)
    file.seek(3 if start == codecs.BOM_UTF8 else 0)
    is_utf16 = start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return codecs.EncodedFile(file, "utf-8", "utf-16") if is_utf16 else file


def _blocks(file: IO[bytes], reading: Reading) -> Iterator[bytes]:
    """Give the lines of a file as UTF-8, with quotes doubled where a backslash escapes them, whole rows at a time."""
    while text := file.read(tables.BLOCK_BYTES):
        text = _doubled(_utf8(text + file.readline(), reading))
        if b"\n" not in text:
            text = text.replace(b"\r", b"\n")  # lines as on old Macs
        limit = len(text) + 2**20
        while (
            text.count(b'"') % 2 and len(text) < limit and (line := file.readline())
        ):  # the row goes on in other lines
            text += _doubled(_utf8(line, reading))
        yield text


def _utf8(text: bytes, reading: Reading) -> bytes:
    try:
        text.decode()
        return text
    except UnicodeDecodeError:
        return b"\n".join(_line_as_utf8(line, reading) for line in text.split(b"\n"))


def _line_as_utf8(line: bytes, reading: Reading) -> bytes:
    for encoding in ("utf-8", "cp1252", "latin-1"):
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            continue
        reading.n_recoded += encoding != "utf-8"
        return text.encode()


def _doubled(text: bytes) -> bytes:
    r"""Write \" as "" if a backslash escapes quotes here; if it only ends values, it may stand for itself."""
    return text.replace(b'\\"', b'""') if re.search(rb'\\"[^;,\t|\r\n]', text) else text


def _head(text: bytes) -> list[str]:
    """Give the first lines."""
    lines = text[: 2**16].decode(errors="ignore").split("\n")
    return [line.rstrip("\r") for line in lines[: -1 if len(lines) > 1 else None] if line.strip()][:HEAD_LINES] or [""]


def _lines(df: pl.DataFrame) -> list[str]:
    """Give the names and first rows of a frame as lines, so that columns are found in the same way."""
    return df.head(HEAD_LINES).select(pl.exclude(pl.List, pl.Struct)).write_csv(separator=",").splitlines()


# From text, or what parquet has, to numbers


def _look(df: pl.DataFrame, columns: Columns, reading: Reading) -> None:
    """Find in the first rows how ratings and times are written, and note it."""
    reading.notes["columns"] = columns.note
    reading.item, reading.has_time = columns.names[columns.of["item"]], "time" in columns.of
    if df.schema["rating"] == pl.String:
        reading.decimal_comma = bool(df["rating"].str.contains(r"\d,\d").any())
    if not reading.has_time or df.schema["time"].is_temporal():
        return
    times = df["time"].cast(pl.String)
    numbers = times.cast(pl.Float64, strict=False).drop_nulls()
    if 2 * len(numbers) >= times.count():  # a row that is written otherwise is named later, by its line
        reading.unit = next((unit for unit in UNITS if (numbers.abs().max() or 0) / unit < MAX_TIMESTAMP), 1)
        if reading.unit > 1:
            reading.notes["times"] = f"{UNITS[reading.unit]} since 1970, kept as seconds"
        return
    read = {date: df.select(_seconds(date)).to_series() for date in DATES}
    most = max(seconds.count() for seconds in read.values())
    fitting = {date: seconds for date, seconds in read.items() if seconds.count() == most}
    first, is_known = times.drop_nulls()[0], 2 * most >= times.count()
    if not is_known or any(not seconds.equals(next(iter(fitting.values()))) for seconds in fitting.values()):
        what = "may have the day or the month first" if is_known else "is no date that is known here"
        raise ValueError(
            f"{reading.source}: {first!r} in column {columns.names[columns.of['time']]!r} {what}; write dates as "
            "2005-09-06, or leave them out: MOVIELENS_COLUMNS=time=none"
        )
    reading.date = next(iter(fitting))
    reading.notes["times"] = f"dates, as {first}"


def _typed(table: pl.LazyFrame, schema: dict, reading: Reading) -> pl.LazyFrame:
    """Add the values as they are stored; null is what cannot be read."""
    rating = pl.col("rating")
    if schema["rating"] == pl.String:
        rating = rating.str.strip_chars()
        rating = rating.str.replace(",", ".", literal=True) if reading.decimal_comma else rating
    timestamp = pl.lit(None, pl.Int64)
    if reading.has_time:
        dtype = schema["time"]
        if dtype.is_temporal():
            timestamp = pl.col("time").cast(pl.Datetime("us")).dt.epoch("s")
        elif reading.date:
            timestamp = _seconds(reading.date)
        else:
            timestamp = (pl.col("time").cast(pl.Float64, strict=False) // reading.unit).cast(pl.Int64, strict=False)
    return table.with_columns(
        *(
            pl.col(role).cast(pl.String if role in reading.text_ids else pl.Int64, strict=False).alias(column)
            for role, column in (("user", "userId"), ("item", "movieId"))
        ),
        rating.cast(pl.Float64, strict=False).alias("value"),
        timestamp.alias("timestamp"),
    )


def _select(typed):
    return typed.select("userId", "movieId", pl.col("value").alias("rating"), "timestamp")


def _seconds(date: str) -> pl.Expr:
    text = pl.col("time").str.strip_chars().str.replace(r"^(\d{4}-\d\d-\d\d)T", "$1 ")
    text = text.str.replace(r"\s?(?:Z|UTC)$", "+00:00")
    return text.str.to_datetime(date, time_unit="us", strict=False).dt.epoch("s")


def _clean(role: str) -> pl.Expr:
    """Give ids as text; whole numbers that pandas wrote as 12.0 without the end."""
    text = pl.col(role).cast(pl.String).str.strip_chars()
    text = pl.when(text.str.ends_with(".0")).then(text.str.replace(r"^(\d+)\.0$", "$1")).otherwise(text)
    return pl.when(text != "").then(text).alias(role)


def _is_whole(role: str) -> pl.Expr:
    """Say whether ids are whole numbers as one writes them: 007 is a text."""
    return pl.col(role).cast(pl.Int64, strict=False).cast(pl.String).eq_missing(pl.col(role)).all()


def _is_wrong(reading: Reading) -> pl.Expr:
    value, timestamp = pl.col("value"), pl.col("timestamp")
    wrong = [pl.col("userId", "movieId").is_null(), value.is_null(), ~value.is_finite()]
    if reading.scale:
        wrong.append(~value.is_between(*reading.scale[:2]) & ~value.is_in(reading.not_rated or []))
    if reading.has_time:
        wrong += [timestamp.is_null(), ~timestamp.is_between(0, MAX_TIMESTAMP)]
    return pl.any_horizontal(wrong)


def _what(row: dict, reading: Reading) -> str:
    """Say what is wrong with a row."""
    empty = next(
        (role for role in ("user", "item", "rating", "time") if str(row.get(role, "-") or "").strip() == ""), None
    )
    value = row["value"]
    if empty:
        return f"there is no {empty}"
    if value is None or value != value or abs(value) == float("inf"):
        return f"rating is {row['rating']!r}, not a number"
    lowest, highest = reading.scale[:2] or (value, value)
    if not lowest <= value <= highest and value not in (reading.not_rated or ()):
        setting = "MOVIELENS_SCALE; if it means that there is no rating, set MOVIELENS_NOT_RATED, too"
        return f"rating is {row['rating']!r}, outside {lowest:g} to {highest:g} ({setting})"
    return f"time is {row['time']!r}, not one like the first (MOVIELENS_COLUMNS=time=none leaves times out)"
