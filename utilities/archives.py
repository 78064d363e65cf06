"""MovieLens' archives: downloaded, checked, and converted once to parquet beside them.

Everything is made in a hidden folder and moved into place when it is whole, by one process at a time. What a process
that was killed has left there is removed by the next.
"""

import re
import shutil
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from utilities.settings import data_folder, settings, split_login
from utilities.tables import RATINGS_SCHEMA, read_folds, read_movies, read_ratings, read_users

CONNECT_READ_TIMEOUT_S = (10, 60)
ATTEMPTS = 3


def parquet_file(dataset: str, table: str, check: Callable[[pl.DataFrame, str], pl.DataFrame]) -> Path:
    """Give a table of a release as a parquet file, downloaded and converted if need be.

    An archive that lies in the data folder already is used, without any network. All its tables are converted at once,
    and again if an earlier version left one out.

    Args:
        dataset: Name of a release that comes as an archive.
        table: `"ratings"` or `"movies"`; `"users"` or `"folds"` of a release that has them.
        check: What ratings have to pass before they are stored; it is given all ratings of some users and a name for
            its messages, and returns them in the order to be stored.

    Returns:
        The file, whole. Ratings: as `check` returned them. Movies: those listed and those rated, as `read_movies` gives
        them. Users: as `read_users` gives them. Folds: `userId`, `movieId`, `fold` of each rating, in the ratings' order.

    Raises:
        ValueError: The archive is damaged, another one than expected, a line of it cannot be read, or a user who rated is
            not listed where users are.
        OSError: It cannot be downloaded, or there is no room for it or the tables.
    """
    path = settings(dataset).data_dir / f"{dataset}.{table}.parquet"
    if path.exists():
        return path
    folder = data_folder()
    archive = folder / f"{dataset}.zip"
    try:
        with alone(folder, dataset) as work:
            if not path.exists():  # the process we waited for may have made it
                found = archive if archive.exists() else _download(dataset, work)
                entries = _check(found, dataset)
                if found != archive:
                    found.replace(archive)
                _convert(archive, dataset, entries, work, check)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: zipfile's for a password
        source, remedy = archive, "replace it, or move it away and load again"
        if not archive.exists():
            source = f"the download of {archive.name} from {split_login(settings(dataset).url)[0]}"
            remedy = f"try again later, or place an intact one at {archive}"
        raise ValueError(f"{dataset}: {source} is not the archive it should be: {error}; {remedy}") from error
    except (OSError, pl.exceptions.PolarsError) as error:
        if isinstance(error, OSError) and error.errno is None:
            raise  # ours, and clear already
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise OSError(
            f"{dataset}: cannot read or write in {folder}: {reason}; free space there, or set MOVIELENS_DATA_DIR to "
            f"another folder (a {dataset}.zip placed in it is used)"
        ) from error
    return path


@contextmanager
def alone(folder: Path, dataset: str) -> Iterator[Path]:
    """Give an empty folder when no other process works on the dataset (the lock of one that was killed is free)."""
    from filelock import FileLock, Timeout

    lock, work = FileLock(folder / f".{dataset}.lock"), folder / f".{dataset}.partial"
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        print(f"{dataset}: waiting for another process that gets it", file=sys.stderr)
        held = lock.acquire()
    with held:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _download(dataset: str, work: Path) -> Path:
    """Fetch an archive, from the start again if the connection breaks."""
    import pooch
    import requests

    name = f"{dataset}.zip"
    address, login = split_login(settings(dataset).url)  # apart, because pooch prints the address
    url = f"{address.rstrip('/')}/{name}"
    source = pooch.create(work, "", registry={name: None}, urls={name: url}, retry_if_failed=ATTEMPTS - 1)
    downloader = pooch.HTTPDownloader(auth=login, progressbar=True, chunk_size=2**20, timeout=CONNECT_READ_TIMEOUT_S)
    try:
        archive = Path(source.fetch(name, downloader=downloader))
    except requests.RequestException as error:
        raise OSError(
            f"{dataset}: cannot download {url}: {_reason(error)}; try again later, set MOVIELENS_URL to a mirror, or "
            f"get {name} in another way and place it at {work.parent / name}"
        ) from error
    archive.chmod(work.stat().st_mode & 0o666)  # pooch lets only its owner read it
    return archive


def _check(archive: Path, dataset: str) -> dict[str, str]:
    """Refuse an archive that is not what its release promises; name the entry of each table in it."""
    import pooch

    release = settings(dataset).release
    if release.checksum:
        algorithm, expected = release.checksum.split(":")
        if (found := pooch.file_hash(str(archive), alg=algorithm)) != expected:
            raise zipfile.BadZipFile(f"its {algorithm} is {found}, expected {expected}")
    with zipfile.ZipFile(archive) as opened:
        inside, entries = opened.namelist(), {}
    for table, name in release.layout.files.items():
        found = [entry for entry in inside if re.split(r"[/\\]", entry)[-1].lower() == name]
        if len(found) != 1:
            listed = ", ".join(found or inside[:8]) or "nothing"
            raise zipfile.BadZipFile(f"it should hold one {name} and holds {len(found)}; inside: {listed}")
        entries[table] = found[0]
    return entries


def _convert(archive: Path, dataset: str, entries: dict[str, str], work: Path, check: Callable) -> None:
    """Read the tables of an archive and store them, each under its name once all are whole."""
    release = settings(dataset).release
    layout = release.layout
    sources = {table: f"{archive}, {name}" for table, name in layout.files.items()}
    paths = {table: work / f"{dataset}.{table}.parquet" for table in sources}
    with zipfile.ZipFile(archive) as opened:
        with opened.open(entries["movies"]) as file:
            movies_df = read_movies(file, layout, sources["movies"])
        with opened.open(entries["ratings"]) as file:
            _sink(read_ratings(file, layout, sources["ratings"], check), paths["ratings"])
        if layout.users:
            with opened.open(entries["users"]) as file:
                users_df = read_users(file, layout, sources["users"])
            _listed(users_df, paths["ratings"], sources["users"]).write_parquet(paths["users"])
        if "published folds" in release.has:
            paths["folds"] = work / f"{dataset}.folds.parquet"
            with opened.open(entries["ratings"]) as file:
                lines_df = read_folds(file, layout, sources["ratings"])
            _in_order(lines_df, paths["ratings"]).write_parquet(paths["folds"])
    missing = _rated(paths["ratings"], "movieId").join(movies_df, on="movieId", how="anti").sort("movieId")
    if not missing.is_empty():
        warnings.warn(
            f"{sources['movies']}: {missing.height} rated movies are missing, the first {missing.item(0, 0)}; "
            "they have no title",
            stacklevel=2,
        )
    pl.concat([movies_df, missing], how="diagonal").sort("movieId").write_parquet(paths["movies"])
    for path in paths.values():
        path.replace(archive.parent / path.name)


def _listed(users_df: pl.DataFrame, ratings: Path, source: str) -> pl.DataFrame:
    """Sort users, or refuse a list that leaves out one who rated."""
    unlisted = _rated(ratings, "userId").join(users_df, on="userId", how="anti").sort("userId")
    if not unlisted.is_empty():
        raise ValueError(
            f"{source}: {unlisted.height} users who rated are missing, the first {unlisted.item(0, 0)}; "
            "get the archive again"
        )
    return users_df.sort("userId")


def _in_order(lines_df: pl.DataFrame, ratings: Path) -> pl.DataFrame:
    """Give the fold of each stored rating, in their order; of a line that comes twice, the first one's."""
    names = RATINGS_SCHEMA.names()
    lines_df = lines_df.unique(names, keep="first", maintain_order=True)
    folds_df = pl.read_parquet(ratings).join(lines_df, on=names, how="left", maintain_order="left")
    return folds_df.select("userId", "movieId", "fold")


def _rated(ratings: Path, column: str) -> pl.DataFrame:
    """Give the users who rated, or the movies rated, each once."""
    return pl.scan_parquet(ratings).select(pl.col(column).unique()).collect(engine="streaming")


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


def _reason(error: BaseException) -> str:
    """Say in a few words why a request failed."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    while error.__context__ is not None:  # the first of the chain says it best
        error = error.__context__
    return str(error)
