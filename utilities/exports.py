"""Tables as other programs and sites export them, read into the columns of ratings, or refused by line.

Text is read in blocks, whatever its encoding, separator and quoting; parquet is scanned. What is found in the first rows
(how times are written, whether 3,5 is three and a half) holds for the rest: a row that does not keep to it is refused.
"""

import codecs
import dataclasses
import gzip
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import IO

import polars as pl

from utilities import tables
from utilities.columns import FIRST_TIME, Columns, find_columns, find_titles, names_columns
from utilities.releases import Layout

HEAD_LINES = 20
MAX_TIMESTAMP = 10**11  # Unix seconds; above, they are milliseconds, microseconds or nanoseconds
UNITS = {1: "seconds", 10**3: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}
DAY = r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # 20050906
DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y", "%d/%m/%y")
CLOCKS = ("", " %H:%M:%S%.f", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
DATES = (
    *(day + clock for clock in CLOCKS for day in DAYS),
    *("%Y-%m-%d %H:%M:%S%.f%z", "%a %b %d %H:%M:%S %z %Y", "%Y%m%d", "%m %d, %Y"),
    *("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y"),
)
QUOTED = ",;|"  # separators of tables in which quotes are expected; in others only if the first lines need some
WHOLE = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)  # types of ids that need no look
SIGNS = {" ": "blanks", "\t": "tabs", "\t\t": "two tabs"}  # separators that one would not see
ENCODINGS = {"utf-8": "UTF-8", "cp1252": "Windows-1252", "latin-1": "Latin-1"}  # tried in this order, line by line
EMPTY = ("", "NaN", "nan", "NA", "N/A", "<NA>", "null", "NULL", "None", "\\N")  # what programs write where nothing is
# What is no table, by its start, and what to do, with the file's name for {0} and what opens it for {1}. The last
# one is for what has no text.
KINDS = {
    rb"PK[\x03\x05]": "is a zip archive or a workbook: unpack it, or save the sheet as CSV, and name that file",
    rb"\s*\[\s*[\[{]": 'is JSON: make it a table first, in polars with pl.read_json("{0}").write_parquet("ratings.parquet")',
    rb"\{\s*\"": "is JSON: make it a table first, in polars, if there is an object in each line, with "
    'pl.read_ndjson("{0}", infer_schema_length=None).write_parquet("ratings.parquet")',
    rb"\{": "has a dictionary of Python in each line: make it a table first, with polars, ast and gzip: pl.DataFrame("
    '[ast.literal_eval(line) for line in {1}("{0}", "rt")], infer_schema_length=None).write_parquet("ratings.parquet")',
    rb"<": "is HTML or XML, as a browser saves a page: get the file itself",
    rb"version https://git-lfs": "only says where Git LFS keeps the file: get the file itself with git lfs pull",
    rb"%%MatrixMarket": "is a sparse matrix: make it a table first, in polars with "
    'pl.read_csv("{0}", separator=" ", comment_prefix="%", has_header=False, new_columns=["user", "item", "rating"])[1:]'
    '.write_parquet("ratings.parquet")',
    rb"\d+:\s*\n": "has a line with a movie's number above its ratings, as Netflix's files have: put it beside each, in "
    'polars with pl.read_csv("{0}", has_header=False, missing_columns="insert", schema={{"user": pl.String, '
    '"rating": pl.Float64, "date": pl.String}})'
    '.with_columns(item=pl.col("user").str.extract(r"^(\\d+):").forward_fill()).drop_nulls("rating")'
    '.write_parquet("ratings.parquet")',
    rb"[\w/]+: [^\n]*\n[\w/]+: ": "has a line for each value: make it a table first, with polars and gzip: pl.DataFrame("
    '[dict(line.split(": ", 1) for line in row.splitlines() if ": " in line) for row in '
    '{1}("{0}", "rt", errors="replace").read().split("\\n\\n") if row.strip()], infer_schema_length=None)'
    '.write_parquet("ratings.parquet")',
    rb"(?s).*[\x00-\x08\x0e-\x1a]": "is no text: if it is an archive, unpack it; a workbook, save the sheet as CSV; else "
    "make it parquet, in polars with pl.read_excel, pl.read_ipc (Arrow, Feather) or pl.read_database(…)"
    '.write_parquet("ratings.parquet")',
}


@dataclass
class Reading:
    """How a table is read, and what there is to tell of it.

    Attributes:
        source: What messages call it.
        scale: Lowest and highest rating that is allowed, and a step, as far as they are set.
        not_rated: Numbers that stand for no rating; None if nobody has said.
        leave_empty: Whether rows without a user, an item or a rating are left out, not refused.
        item: What the column of items is called.
        names: What all columns are called.
        unused: What those are called that are not read.
        separator: What parts the values of a text.
        is_utf16: Whether the text is UTF-16.
        has_time: Whether there are times.
        text_ids: Those of `user` and `item` whose ids are not all whole numbers.
        date: How times are written, one of `DATES`; None for numbers.
        unit: How many of the numbers make a second.
        decimal_comma: Whether 3,5 is three and a half.
        truth: Whether ratings are true and false.
        recoded: How many lines are not UTF-8, by what they were taken for.
        notes: What to tell, by a word.
    """

    source: str
    scale: tuple[float, ...] = ()
    not_rated: tuple[float, ...] | None = None
    leave_empty: bool = False
    item: str = "item"
    names: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    separator: str = ","
    is_utf16: bool = False
    has_time: bool = False
    text_ids: set[str] = field(default_factory=set)
    date: str | None = None
    unit: int = 1
    decimal_comma: bool = False
    truth: bool = False
    recoded: Counter[str] = field(default_factory=Counter)
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
        `timestamp` i64, null if there is no time. Ratings that mean "not rated" are among them; null are those of rows that
        `reading.leave_empty` leaves out.

    Raises:
        ValueError: A column is not found, or a value cannot be read; the message has the line or the row.
    """
    ratings = (_scan_parquet if _is_parquet(files[0]) else _scan_text)(files, named, reading, work)
    if text := _told(reading):
        reading.notes["text"] = text
    return ratings


def _told(reading: Reading) -> str:
    """Say how a text is written where that is not plain: commas between values, points in numbers, UTF-8."""
    encodings = [f"lines that are not UTF-8 taken for {encoding}: {n:,}" for encoding, n in reading.recoded.items()]
    told = (
        f"values parted by {SIGNS.get(reading.separator, repr(reading.separator))}" * (reading.separator != ","),
        "decimal commas" * reading.decimal_comma,
        "UTF-16" * reading.is_utf16,
        *encodings,
    )
    return ", ".join(filter(None, told))


def read_titles(path: Path, named: dict, item: str, rated: pl.Series, source: str) -> tuple[pl.DataFrame, list[str]]:
    """Read a table of titles.

    Args:
        path: A file of text or parquet.
        named: The columns that are named for roles.
        item: What the ratings call their column of ids.
        rated: The ids that were rated, str.
        source: What to call the table in messages.

    Returns:
        One row per id, the first listed: `item` str, `title` str, `year` i32, `genres` str, separated by `|`; what is not
        known is null. Then what the columns that were read are called, first that of ids: it is the one of the ratings' name
        if it knows half of the ids that were rated, else the one that knows the most.

    Raises:
        ValueError: A column is not found, or a line cannot be read.
    """
    if _is_parquet(path):
        df = pl.read_parquet(path)
        df = df.with_columns(pl.col(pl.List(pl.String)).list.join("|"), pl.col(pl.Binary).cast(pl.String, strict=False))
        df = df.select(pl.all().cast(pl.String, strict=False))
        columns, ids = find_titles(_lines(df), named, item, source)
        df = df.select(pl.nth(i).alias(role) for role, i in _with_ids(columns, ids).of.items())
    else:
        with _open(path, source) as file:
            text = b"".join(_blocks(file, Reading(source)))
        columns, ids = find_titles(_head(text), named, item, source)
        first_line = 2 if columns.header else 1
        df, _ = _parse(
            text.partition(b"\n")[2] if columns.header else text, _with_ids(columns, ids), source, first_line
        )
    missing = [pl.lit(None, pl.String).alias(name) for name in ("year", "genres") if name not in columns.of]
    title = pl.col("title").str.strip_chars()
    df = df.with_columns(*(_clean(str(i)) for i in ids), pl.when(title != "").then(title).alias("title"), *missing)
    known = {i: rated.is_in(df[str(i)].drop_nulls().implode()).mean() for i in ids}
    best = ids[0] if known[ids[0]] >= 0.5 else max(ids, key=known.get)
    df = df.rename({str(best): "item"}).drop_nulls("item").unique("item", keep="first", maintain_order=True)
    df = df.select(
        "item",
        pl.col("title").str.replace(tables.YEAR, "") if "year" not in columns.of else "title",
        pl.coalesce(  # the one in the title where there is no column of years
            pl.col("year").str.extract(r"(\d{4})"), pl.col("title").str.extract(tables.YEAR)
        )
        .cast(pl.Int32)
        .alias("year"),
        _genres().alias("genres"),
    )
    read = (best, *columns.of.values())
    return df, [columns.names[i] if columns.header else str(i + 1) for i in read]


def _with_ids(columns: Columns, ids: list[int]) -> Columns:
    """Add the columns that may have ids under their positions."""
    return columns._replace(of=columns.of | {str(i): i for i in ids})


def _genres() -> pl.Expr:
    """Part genres by `|`, whatever they were parted by, of dictionaries their names."""
    genres = pl.col("genres")
    names = genres.str.extract_all(r"""['"]name['"]: *('[^']*'|"[^"]*")""").list.eval(
        pl.element().str.replace(r"^.{6}: *", "").str.strip_chars("'\"")
    )
    text = genres.str.strip_chars("[]'\" ").str.replace_all(r"""['"]?\s*[,;|]\s*['"]?""", "|")
    return pl.when(names.list.len() > 0).then(names.list.join("|")).otherwise(text)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _scan_parquet(files: list[Path], named: dict, reading: Reading, work: Path) -> pl.LazyFrame:
    table = pl.scan_parquet(files)
    structs = [name for name, dtype in table.collect_schema().items() if dtype == pl.Struct]
    table = table.unnest(structs, separator=".").with_columns(pl.col(pl.Binary).cast(pl.String, strict=False))
    columns = find_columns(_lines(table.head(HEAD_LINES).collect()), named, reading.source)
    table = table.select(pl.nth(i).alias(role) for role, i in columns.of.items())
    head_df = table.head(2**17).collect()
    _look(head_df, columns, reading)
    maybe_text = [role for role in ("user", "item") if head_df.schema[role] not in WHOLE]
    table = table.with_columns(*map(_clean, maybe_text), _rating(head_df.schema["rating"]))
    whole = table.select(pl.lit(True), *map(_is_whole, maybe_text)).collect(engine="streaming")
    reading.text_ids = {role for role in maybe_text if not whole[role].item()}
    typed = _typed(table, head_df.schema, reading)
    wrong_df = typed.with_row_index("row").filter(_is_wrong(reading)).head(1).collect(engine="streaming")
    if not wrong_df.is_empty():
        row = wrong_df.row(0, named=True)
        raise ValueError(f"{reading.source}, row {row['row'] + 1}: {_what(row, reading)}; correct it or drop the row")
    return _select(typed, reading)


def _scan_text(files: list[Path], named: dict, reading: Reading, work: Path) -> pl.LazyFrame:
    columns, first_line = None, 1
    with _open(files[0], reading.source) as file:
        reading.is_utf16 = isinstance(file, codecs.StreamRecoder)
        for number, text in enumerate(_blocks(file, reading)):
            if columns is None:
                text, first_line = _below_preamble(text)
                columns = find_columns(_head(text), named, reading.source)
                reading.separator = columns.separator
                if columns.header:
                    text, first_line = text.partition(b"\n")[2], first_line + 1
            df, layout = _parse(text, columns, reading.source, first_line)
            df = df.with_columns(_clean("user"), _clean("item"), _rating(pl.String))
            if number == 0:
                _look(df, columns, reading)
            whole = df.select(_is_whole(role) for role in ("user", "item"))
            text_ids = {role for role in whole.columns if not whole[role].item()} - reading.text_ids
            reading.text_ids |= text_ids
            if text_ids and number > 0:
                reading.recoded.clear()
                return _scan_text(files, named, reading, work)  # again from the start, with these ids as text
            df = _typed(df, df.schema, reading)
            wrong_df = df.with_row_index("row").filter(_is_wrong(reading)).head(1)
            if not wrong_df.is_empty():
                row = wrong_df.row(0, named=True)
                line = first_line + tables.line_of(text, layout.separator[0], layout.header, row["row"])
                raise tables.wrong(reading.source, line, _what(row, reading))
            _select(df, reading).write_parquet(work / f"block-{number:06}.parquet", compression="lz4")
            first_line += text.count(b"\n")
    if columns is None:
        raise ValueError(f"{reading.source}: no ratings in it")
    return pl.scan_parquet(work / "block-*.parquet")


def _parse(text: bytes, columns: Columns, source: str, first_line: int) -> tuple[pl.DataFrame, Layout]:
    """Read lines into a column of text for each role, null where nothing is; empty lines are left out.

    Quotes that do not match are parts of the values where each line has its number of values without them.
    """
    if columns.separator == " ":
        text = re.sub(rb"(?m)^ +| +(?=\r?$)", b"", re.sub(rb"  +", b" ", text))
    elif re.search(rb'[,;] +"', text[: 2**16]):
        text = re.sub(rb'([,;]) +"', rb'\1"', text)  # a blank before quotes would make them parts of the value
    separator = columns.separator
    quoted = len(separator) == 1 and (separator in QUOTED or not _is_plain(text[: 2**16].rpartition(b"\n")[0], columns))
    layout = Layout("", "", separator, header=quoted, encoding="utf-8")  # quotes are expected where a header is
    try:
        return _parse_as(layout, text, columns, source, first_line), layout
    except ValueError:
        if not quoted or not _is_plain(text, columns):
            raise
        layout = dataclasses.replace(layout, header=False)
        df = _parse_as(layout, text, columns, source, first_line)
        if "title" not in columns.of and any(df.select(pl.all().str.contains('"').any()).row(0)):
            raise  # a quote in an id or a number is a slip
        return df, layout


def _parse_as(layout: Layout, text: bytes, columns: Columns, source: str, first_line: int) -> pl.DataFrame:
    schema = {f"_{i}": pl.String for i in range(len(columns.names))}
    df = tables.parse(text, schema, layout, source, first_line)
    df = df.filter(pl.any_horizontal(pl.col(*schema).is_not_null()))
    df = df.select(pl.col(f"_{i}").alias(role) for role, i in columns.of.items())
    if layout.header or b'"' not in text:
        return df
    return df.with_columns(pl.all().str.replace(r'^"(.*)"$', "$1").str.replace_all('""', '"', literal=True))


def _is_plain(text: bytes, columns: Columns) -> bool:
    """Say whether each line has its number of values if quotes mean nothing."""
    separator, n_more = columns.separator.encode(), len(columns.names) - 1
    return b'"' not in text or all(line.count(separator) == n_more for line in text.split(b"\n") if line.strip())


# From bytes to lines of UTF-8


def _open(path: Path, source: str) -> IO[bytes]:
    """Open a file of text, unpacked and past its byte order mark, UTF-16 as UTF-8."""
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    file = (gzip.open if is_packed else Path.open)(path, "rb")
    start = file.read(2**10)
    file.seek(3 if start.startswith(codecs.BOM_UTF8) else 0)
    is_utf16 = start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if is_utf16:
        return codecs.EncodedFile(file, "utf-8", "utf-16")
    start = start.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")
    if kind := next((said for found, said in KINDS.items() if re.match(found, start)), None):
        raise ValueError(f"{source} {kind.format(path.name, 'gzip.open' if is_packed else 'open')}")
    return file


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
    for encoding, name in ENCODINGS.items():
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "utf-8":
            reading.recoded[name] += 1
        return text.encode()


def _doubled(text: bytes) -> bytes:
    r"""Write \" as "" if a backslash escapes quotes here; if it only ends values, it may stand for itself."""
    return text.replace(b'\\"', b'""') if re.search(rb'\\"[^;,\t|\r\n]', text) else text


def _below_preamble(text: bytes) -> tuple[bytes, int]:
    """Give a table and its first line's number, below lines that say how it is written (`sep=;`) or what it is (`% …`)."""
    lines = text[: 2**16].split(b"\n")[:HEAD_LINES]
    above = takewhile(
        lambda line: re.match(rb'"?sep=|%|#', line) and not names_columns(line.decode(errors="ignore")), lines
    )
    n = len(list(above))
    return (text, 1) if n == len(lines) else (text.split(b"\n", n)[n], n + 1)


def _head(text: bytes) -> list[str]:
    """Give the first lines."""
    lines = text[: 2**16].decode(errors="ignore").split("\n")
    return [line.rstrip("\r") for line in lines[: -1 if len(lines) > 1 else None] if line.strip()][:HEAD_LINES] or [""]


def _lines(df: pl.DataFrame) -> list[str]:
    """Give the names and first rows of a frame as lines, so that columns are found in the same way."""
    shown = (pl.lit("[…]").alias(name) if dtype.is_nested() else pl.col(name) for name, dtype in df.schema.items())
    return df.head(HEAD_LINES).select(*shown).write_csv(separator=",").splitlines()


# From text, or what parquet has, to numbers


def _look(df: pl.DataFrame, columns: Columns, reading: Reading) -> None:
    """Find in the first rows how ratings and times are written, and note it."""
    reading.notes["columns"], reading.names = columns.note, columns.names
    reading.unused = [name for i, name in enumerate(columns.names) if name and i not in columns.of.values()]
    reading.item, reading.has_time = columns.names[columns.of["item"]], "time" in columns.of
    if df.schema["rating"] == pl.String:
        reading.decimal_comma = bool(df["rating"].str.contains(r"\d,\d").any())
        reading.truth = df["rating"].drop_nulls().head(HEAD_LINES).str.to_lowercase().is_in(["true", "false"]).all()
        wrong_df = (
            df.select("rating", value=_number(pl.String, reading))
            .drop_nulls("rating")
            .filter(pl.col("value").is_null())
        )
        if 2 * wrong_df.height > df["rating"].count():
            name = columns.names[columns.of["rating"]]
            raise ValueError(
                f"{reading.source}: {wrong_df['rating'][0]!r} in column {name!r} is no number, as most there; if another "
                "column has the ratings, say so: rating=… in MOVIELENS_COLUMNS; else make them numbers first, in polars "
                f"with pl.col({name!r}).str.extract(r'([\\d.]+)').cast(pl.Float64), words with .replace_strict({{…: 1}})"
            )
    if not reading.has_time or df.schema["time"].is_temporal():
        return
    times = df["time"].cast(pl.String).str.strip_chars()
    numbers = times.cast(pl.Float64, strict=False).drop_nulls()
    is_date = 2 * times.str.contains(f"^{DAY}$").sum() > times.count()
    if 2 * len(numbers) >= times.count() and not is_date:  # a row that is written otherwise is named later, by its line
        most = numbers.abs().max() if len(numbers) else FIRST_TIME
        if most < FIRST_TIME:
            raise _unknown_time(times, columns, reading, "is too small for a time: seconds since 1970 are expected")
        reading.unit = next((unit for unit in UNITS if most / unit < MAX_TIMESTAMP), 1)
        if reading.unit > 1:
            reading.notes["times"] = f"{UNITS[reading.unit]} since 1970, kept as seconds"
        return
    read = {
        date: df.select(_seconds(date)).to_series()
        for date in DATES
        if df.head(1000).select(_seconds(date).count()).item()
    }
    most = max((seconds.count() for seconds in read.values()), default=0)
    fitting = {date: seconds for date, seconds in read.items() if seconds.count() == most}
    if 2 * most < times.count():
        raise _unknown_time(times, columns, reading, "is no date that is known here")
    if any(not seconds.equals(next(iter(fitting.values()))) for seconds in fitting.values()):
        raise _unknown_time(times, columns, reading, "may have the day or the month first")
    reading.date = next(iter(fitting))
    reading.notes["times"] = f"dates, as {times.drop_nulls()[0]}"


def _unknown_time(times: pl.Series, columns: Columns, reading: Reading, what: str) -> ValueError:
    return ValueError(
        f"{reading.source}: {times.drop_nulls()[0]!r} in column {columns.names[columns.of['time']]!r} {what}; write dates "
        "as 2005-09-06, or leave them out: time=none in MOVIELENS_COLUMNS"
    )


def _typed(table: pl.LazyFrame, schema: dict, reading: Reading) -> pl.LazyFrame:
    """Add the values as they are stored; null is what cannot be read."""
    timestamp = pl.lit(None, pl.Int64)
    if reading.has_time:
        dtype = schema["time"]
        if dtype.is_temporal():
            timestamp = pl.col("time").cast(pl.Datetime("us")).dt.epoch("s")
        elif reading.date:
            timestamp = _seconds(reading.date)
        else:
            time = pl.col("time").str.strip_chars() if dtype == pl.String else pl.col("time")
            timestamp = (time.cast(pl.Float64, strict=False) // reading.unit).cast(pl.Int64, strict=False)
    return table.with_columns(
        *(
            pl.col(role).cast(pl.String if role in reading.text_ids else pl.Int64, strict=False).alias(column)
            for role, column in (("user", "userId"), ("item", "movieId"))
        ),
        _number(schema["rating"], reading).alias("value"),
        timestamp.alias("timestamp"),
    )


def _number(dtype: pl.DataType, reading: Reading) -> pl.Expr:
    rating = pl.col("rating")
    if dtype == pl.String and reading.truth:
        rating = rating.str.to_lowercase().replace({"true": "1", "false": "0"})
    if dtype == pl.String and reading.decimal_comma:
        rating = rating.str.replace(",", ".", literal=True)
    return rating.cast(pl.Float64, strict=False)


def _select(typed, reading: Reading):
    value = pl.when(~_is_empty()).then("value") if reading.leave_empty else pl.col("value")
    return typed.select("userId", "movieId", value.alias("rating"), "timestamp")


def _seconds(date: str) -> pl.Expr:
    text = pl.col("time").cast(pl.String).str.strip_chars().str.replace(r"^(\d{4}-\d\d-\d\d)T", "$1 ")
    text = text.str.replace(r"\s?(?:Z|UTC)$", "+00:00")
    seconds = text.str.to_datetime(date, time_unit="us", strict=False).dt.epoch("s")
    return pl.when(seconds >= 0).then(seconds).alias("time")  # %Y takes 13 for the year 13


def _clean(role: str) -> pl.Expr:
    """Give ids as text, null where there is none; whole numbers that pandas wrote as 12.0 without the end."""
    text = pl.col(role).cast(pl.String).str.strip_chars()
    text = pl.when(text.str.ends_with(".0")).then(text.str.replace(r"^(\d+)\.0$", "$1")).otherwise(text)
    return pl.when(~text.is_in(EMPTY)).then(text).alias(role)


def _rating(dtype: pl.DataType) -> pl.Expr:
    """Give ratings, null where there is none."""
    if dtype == pl.String:
        return _clean("rating")
    return pl.col("rating").fill_nan(None) if dtype.is_float() else pl.col("rating")


def _is_empty() -> pl.Expr:
    return pl.any_horizontal(pl.col("user", "item", "rating").is_null())


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
    return pl.any_horizontal(wrong) & (~_is_empty() if reading.leave_empty else True)


def _what(row: dict, reading: Reading) -> str:
    """Say what is wrong with a row."""
    empty = next(
        (role for role in ("user", "item", "rating", "time") if str(row.get(role, "-") or "").strip() == ""), None
    )
    value = row["value"]
    without_times = "time=none in MOVIELENS_COLUMNS leaves times out"
    if empty:
        rows = f"{also(reading, 'empty')} leaves such rows out"
        return f"there is no {empty} ({without_times if empty == 'time' else rows})"
    if value is None or value != value or abs(value) == float("inf"):
        return f"rating is {row['rating']!r}, not a number"
    lowest, highest = reading.scale[:2] or (value, value)
    if not lowest <= value <= highest and value not in (reading.not_rated or ()):
        setting = "MOVIELENS_SCALE; if it means that there is no rating, set MOVIELENS_NOT_RATED, too"
        return f"rating is {row['rating']!r}, outside {lowest:g} to {highest:g} ({setting})"
    return f"time is {row['time']!r}, not one like the first ({without_times})"


def also(reading: Reading, word: str) -> str:
    """Give the setting that says what no rating is, with a word more."""
    numbers = ("none",) if reading.not_rated == () else (f"{value:g}" for value in reading.not_rated or ())
    return f"MOVIELENS_NOT_RATED={','.join([*(['empty'] if reading.leave_empty else []), *numbers, word])}"
