"""MovieLens' archives: downloaded, checked, and converted once to parquet beside them.

Everything is made in a hidden folder and moved into place when it is whole, by one process at a time. What a process
that was killed has left there is removed by the next.
"""

import shutil
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import polars as pl
from polars.io.plugins import register_io_source

from utilities.releases import RELEASES, Layout
from utilities.settings import data_folder, settings

BLOCK_BYTES = 2**25  # of text at a time: bounds the memory, and a file up to this size may have its rows in any order
CONNECT_READ_TIMEOUT_S = (10, 60)
ATTEMPTS = 3
RATINGS_SCHEMA = pl.Schema({"userId": pl.Int64, "movieId": pl.Int64, "rating": pl.Float64, "timestamp": pl.Int64})
# fmt: off
GENRES_100K = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]
# fmt: on


def parquet_file(dataset: str, table: str, check: Callable[[pl.DataFrame, str], pl.DataFrame]) -> Path:
    """Give a table of a release as a parquet file, downloaded and converted if need be.

    An archive that lies in the data folder already is used, without any network.

    Args:
        dataset: Name of a release that comes as an archive.
        table: `"ratings"` or `"movies"`.
        check: What ratings have to pass before they are stored; it is given all ratings of some users and a name for
            its messages, and returns them in the order to be stored.

    Returns:
        The file, whole. Ratings: as `check` returned them. Movies: `movieId` i64, `title` str, `year` i32 or null,
        `genres` str, separated by `|`.

    Raises:
        ValueError: The archive is damaged, another one than expected, or a line of it cannot be read.
        OSError: It cannot be downloaded, or there is no room for it or the tables.
    """
    path = settings().data_dir / f"{dataset}.{table}.parquet"
    if path.exists():
        return path
    folder = data_folder()
    try:
        with _one_process(folder / f".{dataset}.lock", dataset), _work_folder(folder / f".{dataset}.partial") as work:
            if not path.exists():  # the process we waited for may have made it
                archive = folder / f"{dataset}.zip"
                if archive.exists():
                    _check_sum(archive, dataset)
                    _check_zip(archive, dataset)
                else:
                    _download(dataset, archive, work)
                _convert(archive, dataset, work, check)
    except (OSError, pl.exceptions.PolarsError) as error:
        if isinstance(error, OSError) and error.errno is None:
            raise  # ours, and clear already
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OSError(
            f"{dataset}: cannot read or write in {folder}: {reason}; free space there, or set MOVIELENS_DATA_DIR to "
            f"another folder (a {dataset}.zip placed in it is used)"
        ) from error
    return path


def _download(dataset: str, archive: Path, work: Path) -> None:
    """Fetch an archive, from the start again if the connection breaks, and check it before it gets its name."""
    import pooch
    import requests

    url = f"{settings().url.rstrip('/')}/{archive.name}"
    source = pooch.create(work, base_url="", registry={archive.name: None}, urls={archive.name: url})
    source.retry_if_failed = ATTEMPTS - 1
    downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**20, timeout=CONNECT_READ_TIMEOUT_S)
    try:
        partial = Path(source.fetch(archive.name, downloader=downloader))
    except requests.RequestException as error:
        raise OSError(
            f"{dataset}: cannot download {url}: {_reason(error)}; try again later, set MOVIELENS_URL to a mirror, or "
            f"get {archive.name} in another way and place it at {archive}"
        ) from error
    _check_sum(partial, dataset, f"the download of {url}")
    _check_zip(partial, dataset, f"the download of {url}")
    partial.replace(archive)


def _check_sum(archive: Path, dataset: str, source: str | None = None) -> None:
    """Refuse an archive whose checksum is known and is another."""
    import pooch

    if checksum := RELEASES[dataset].checksum:
        algorithm, expected = checksum.split(":")
        found = pooch.file_hash(str(archive), alg=algorithm)
        if found != expected:
            raise _damaged(source or archive, dataset, f"its {algorithm} is {found}, expected {expected}")


def _check_zip(archive: Path, dataset: str, source: str | None = None) -> None:
    """Refuse what is no zip file, lacks a table, or has an entry outside its folder."""
    release, source = RELEASES[dataset], source or archive
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
    except zipfile.BadZipFile as error:
        raise _damaged(source, dataset, f"it is cut short or no zip file ({error})") from error
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise _damaged(source, dataset, f"its entry {name!r} leads out of the folder")
    for table in (release.layout.ratings, release.layout.movies):
        if f"{release.folder}/{table}" not in names:
            raise _damaged(source, dataset, f"it has no {release.folder}/{table}")


def _convert(archive: Path, dataset: str, work: Path, check: Callable) -> None:
    """Read both tables of an archive and store them, each under its name once it is whole."""
    release = RELEASES[dataset]
    movies, ratings = (work / f"{dataset}.{table}.parquet" for table in ("movies", "ratings"))
    try:
        with zipfile.ZipFile(archive) as opened:
            with opened.open(f"{release.folder}/{release.layout.movies}") as file:
                _read_movies(file, release.layout, f"{archive}, {release.layout.movies}").write_parquet(movies)
            with opened.open(f"{release.folder}/{release.layout.ratings}") as file:
                blocks = _read_ratings(file, release.layout, f"{archive}, {release.layout.ratings}", check)
                _sink(blocks, ratings)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _damaged(archive, dataset, f"it cannot be unpacked ({error})") from error
    for table in (movies, ratings):
        table.replace(archive.parent / table.name)


def _sink(blocks: Iterator[pl.DataFrame], path: Path) -> None:
    """Write frames to one parquet file, one at a time.

    What goes wrong in `blocks` is raised when the writer has ended: raised inside, it would come out here while polars
    is still at work on the file.
    """
    errors = []

    def source(*_):
        try:
            yield from blocks
        except Exception as error:
            errors.append(error)

    register_io_source(source, schema=RATINGS_SCHEMA).sink_parquet(path, compression="lz4")
    if errors:
        raise errors[0]


def _read_ratings(file: IO[bytes], layout: Layout, source: str, check: Callable) -> Iterator[pl.DataFrame]:
    """Read ratings block by block, and give them checked, each user's in one frame and users in their order."""
    first_line = 1
    if layout.header:
        first_line += 1
        header = file.readline().decode(errors="replace").strip()
        if header != ",".join(RATINGS_SCHEMA):
            raise ValueError(f"{source}, line 1: {header!r} is not {','.join(RATINGS_SCHEMA)!r}; get the archive again")
    held, last_user = pl.DataFrame(schema=RATINGS_SCHEMA), None
    while text := file.read(BLOCK_BYTES):
        text += file.readline()
        block = _parse(text, RATINGS_SCHEMA, layout.separator, f"{source}, line", first_line)
        first_line += block.height
        is_complete = pl.col("userId") < block["userId"].min()
        complete, held = held.filter(is_complete), pl.concat([held.filter(~is_complete), block])
        if last_user is not None and held["userId"].min() <= last_user:
            raise ValueError(f"{source}: not ordered by user, as large releases are; get the archive again")
        if not complete.is_empty():
            last_user = complete["userId"].max()
            yield check(complete, source)
    yield check(held, source)


def _read_movies(file: IO[bytes], layout: Layout, source: str) -> pl.DataFrame:
    """Read the movies of an archive."""
    text = file.read().decode(layout.encoding, errors="replace").encode()
    if layout.movies == "u.item":
        flags = {genre: pl.Int8 for genre in GENRES_100K}
        head = {"movieId": pl.Int64, "title": pl.String, "_released": pl.String, "_video": pl.String, "_url": pl.String}
        movies_df = _parse(text, pl.Schema(head | flags), "|", f"{source}, line", 1)
        named = [pl.when(pl.col(genre) == 1).then(pl.lit(genre)) for genre in GENRES_100K[1:]]
        movies_df = movies_df.with_columns(genres=pl.concat_str(named, separator="|", ignore_nulls=True))
    else:
        schema = pl.Schema({"movieId": pl.Int64, "title": pl.String, "genres": pl.String})
        first_line, quote = 1, None
        if layout.header:
            first_line, quote, text = 2, '"', text.partition(b"\n")[2]
        movies_df = _parse(text, schema, layout.separator, f"{source}, line", first_line, quote)
    year = r"\s*\((\d{4})(?:\s?[-–]\s?\d{0,4})?\)\s*$"
    return movies_df.select(
        "movieId",
        pl.col("title").str.replace(year, "").str.strip_chars(),
        pl.col("title").str.extract(year).cast(pl.Int32).alias("year"),
        "genres",
    ).sort("movieId")


def _parse(
    text: bytes, schema: pl.Schema, separator: str, source: str, first_line: int, quote: str | None = None
) -> pl.DataFrame:
    """Read lines of values; a line that has others than the schema asks for is refused by its number."""

    def read(text: bytes) -> pl.DataFrame | None:
        try:
            df = pl.read_csv(
                text.replace(separator.encode(), b"\x1f") if len(separator) > 1 else text,
                has_header=False,
                schema=schema,
                separator="\x1f" if len(separator) > 1 else separator,
                quote_char=quote,
            )
        except pl.exceptions.PolarsError:
            return None
        nulls = df.select(c for c in schema if not c.startswith("_")).null_count()
        return None if any(nulls.row(0)) else df

    df = read(text)
    if df is not None and not df.is_empty():
        return df
    lines = text.splitlines(keepends=True)
    good, bad = 0, len(lines)  # the first bad line lies between them: halve until it is found
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if read(b"".join(lines[good:middle])) is not None else (good, middle)
    line = lines[good].decode(errors="replace").rstrip() if lines else ""
    columns = separator.join(c.strip("_") for c in schema)
    raise ValueError(f"{source} {first_line + good}: {line!r} is not {columns!r}; correct it or get the archive again")


@contextmanager
def _one_process(lock: Path, dataset: str) -> Iterator[None]:
    """Wait until no other process works on the release; the lock of one that was killed is free."""
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        print(f"{dataset}: waiting for another process that gets it", file=sys.stderr)
        held.acquire()
    try:
        yield
    finally:
        held.release()


@contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder, and remove it afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _damaged(source: Path | str, dataset: str, what: str) -> ValueError:
    place = settings().data_dir / f"{dataset}.zip"
    remedy = "delete it and load again, or place an intact one there"
    if source != place:
        remedy = f"try again later, or place an intact one at {place}"
    return ValueError(f"{dataset}: {source} is not the archive it should be: {what}; {remedy}")


def _reason(error: BaseException) -> str:
    """Say in a few words why a request failed."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    while error.__context__ is not None:  # the first of the chain says it best
        error = error.__context__
    return str(error)
