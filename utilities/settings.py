"""The settings of the series: environment variables with defaults, each checked when it is read."""

import os
import re
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import unquote, urlsplit

from utilities.releases import RELEASES, Release

MOVIELENS_URL = "https://files.grouplens.org/datasets/movielens/"
ACCELERATORS = ("auto", "cpu", "cuda", "mps")
_DISTRIBUTION = "movielens-notebook-course"
_PACKAGE_PARENT = Path(__file__).resolve().parents[1]
_PYPROJECT = _PACKAGE_PARENT / "pyproject.toml"
# A wheel lies among other packages, where nothing is to be written: it takes the folder that Python started in.
ROOT = _PACKAGE_PARENT if _PYPROJECT.exists() else Path.cwd()


@dataclass(frozen=True)
class Settings:
    """What the environment asks for. Secrets in an address are not printed.

    Attributes:
        root: The repository, wherever the notebook runs, and what relative paths in the settings start from. Of an
            installed wheel it is the working folder at the import.
        dataset: Name of the MovieLens release, or the whole path of a file of ratings (`MOVIELENS_DATASET`).
        release: What differs between datasets: the scale of the ratings, what they have, the defaults below.
        top_movies: Number of most-rated movies to keep, None for all (`MOVIELENS_TOP_MOVIES`; `all`).
        sample: Number of ratings to keep, None for all (`MOVIELENS_SAMPLE`).
        batch_size: Ratings per training step, the dataset's default.
        accelerator: What models train on, `auto`, `cpu`, `cuda` or `mps` (`MOVIELENS_ACCELERATOR`).
        data_dir: Folder of downloads and derived files (`MOVIELENS_DATA_DIR`).
        tracking_uri: MLflow's store (`MLFLOW_TRACKING_URI`), of a server without the user and password in it.
        url: Where MovieLens' archives are downloaded from (`MOVIELENS_URL`): GroupLens' server, or a mirror of it.
    """

    root: Path
    dataset: str
    release: Release
    top_movies: int | None
    sample: int | None
    batch_size: int
    accelerator: str
    data_dir: Path
    tracking_uri: str
    url: str

    @property
    def on_the_sample(self) -> bool:
        """Whether these are the built-in sample and its default rows, which prose, stored tables and claims are of."""
        sample = RELEASES["built-in"]
        return (self.release, self.top_movies, self.sample) == (sample, sample.top_movies, None)

    def __str__(self):
        """One setting a line, paths relative to the repository, as the notebooks print them."""
        lines = {
            "dataset": shown(self.dataset),
            **self.release.notes,
            "top movies": self.top_movies or "all",
            "sample": self.sample or "all ratings",
            "batch size": self.batch_size,
            "data": _relative(str(self.data_dir)),
            "tracking": redact(_relative(self.tracking_uri)),
        }
        if not self.on_the_sample:
            lines["prose"] = "and titles of figures speak of the built-in sample; ✓ and ✗ say what holds on this data"
        return "\n".join(f"{name:<11} {value}" for name, value in lines.items())

    def __repr__(self):
        """Every setting, without secrets."""
        values = {name: redact(value) if isinstance(value, str) else value for name, value in vars(self).items()}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in values.items())})"


def settings(dataset: str | None = None) -> Settings:
    """Read the settings from the environment.

    A user and password in the address of a tracking server are handed to MLflow in the variables it has for them
    (`MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`), because it prints the address after each run.

    A file of ratings is read and converted when it is first asked for, because the scale and the defaults are found in it.

    Args:
        dataset: Name of the MovieLens release, or path of a file of ratings; `MOVIELENS_DATASET` unless given.

    Returns:
        The settings, defaults filled in.

    Raises:
        ValueError: The dataset is unknown, its file does not hold ratings, or a variable has a value that cannot be used;
            the message names it.
        OSError: A file of ratings cannot be read, or not be converted in the data folder.
    """
    environ = os.environ
    dataset, release = _find(dataset or environ.get("MOVIELENS_DATASET") or "built-in")
    top_movies = environ.get("MOVIELENS_TOP_MOVIES") or str(release.top_movies)
    sample = environ.get("MOVIELENS_SAMPLE")
    url = environ.get("MOVIELENS_URL") or MOVIELENS_URL
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"MOVIELENS_URL: {redact(url)!r} does not begin with http:// or https://")
    accelerator = environ.get("MOVIELENS_ACCELERATOR") or ACCELERATORS[0]
    if accelerator not in ACCELERATORS:
        raise ValueError(f"MOVIELENS_ACCELERATOR: {accelerator!r} is none of {', '.join(ACCELERATORS)}")
    return Settings(
        root=ROOT,
        dataset=dataset,
        release=release,
        top_movies=None if top_movies == "all" else _count("MOVIELENS_TOP_MOVIES", top_movies, "all"),
        sample=_count("MOVIELENS_SAMPLE", sample) if sample else None,
        batch_size=release.batch_size,
        accelerator=accelerator,
        data_dir=_data_dir(),
        tracking_uri=_tracking_uri(),
        url=url,
    )


def in_repository(path: str) -> Path:
    """Resolve a path of the settings: relative ones start at the repository, and `~` is the home folder."""
    return (ROOT / Path(path).expanduser()).resolve()


def shown(dataset: str) -> str:
    """Name a dataset without telling where on this machine it lies: a file below the repository from there."""
    path = Path(dataset)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def data_folder(*parts: str) -> Path:
    """Give a folder below the data folder, made if need be.

    Args:
        parts: Names below the data folder, for example `"embeddings"`.

    Returns:
        The folder's path; it exists and can be written.

    Raises:
        OSError: The folder cannot be made or written; the message names it and the setting.
    """
    return _writable(_data_dir().joinpath(*parts), "data folder", "MOVIELENS_DATA_DIR")


def work_folder() -> Path:
    """Give the folder of a learner's own files, made if need be (`MOVIELENS_WORK_DIR`, `work` unless given).

    Raises:
        OSError: The folder cannot be made or written; the message names it and the setting.
    """
    folder = in_repository(os.environ.get("MOVIELENS_WORK_DIR") or "work")
    return _writable(folder, "folder of your work", "MOVIELENS_WORK_DIR")


def package_version() -> str:
    """Give the package's version: a checkout's own, installed or not, else that of what is installed."""
    project = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8")).get("project", {}) if _PYPROJECT.exists() else {}
    if project.get("name") == _DISTRIBUTION:
        return project["version"]
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:  # the folder was copied into another project
        return "not installed"


def redact(uri: str) -> str:
    """Hide the user, password or token in an address, so that it can be printed."""
    return re.sub(r"://(?!/).*@", "://***@", re.sub(r"([?&]password=)[^&]*", r"\1***", uri))


def split_login(uri: str) -> tuple[str, tuple[str, str] | None]:
    """Part an address from the user and password in it, None if there are none."""
    parts = urlsplit(uri)
    login, at, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    return (parts._replace(netloc=host).geturl(), (unquote(user), unquote(password))) if at else (uri, None)


def _find(dataset: str) -> tuple[str, Release]:
    """Give a release by its name, or a file of ratings, converted if need be, by its path."""
    if dataset in RELEASES:
        return dataset, RELEASES[dataset]
    path = in_repository(dataset)
    if not path.exists():
        raise ValueError(
            f"unknown dataset {dataset!r}; known: {', '.join(RELEASES)}, and the path of a file of ratings, which starts "
            "at the repository unless it begins with / (setting MOVIELENS_DATASET)"
        )
    from utilities.own import own_release  # which needs polars, and settings

    return str(path), own_release(path)


def _writable(folder: Path, what: str, setting: str) -> Path:
    """Make a folder if need be, or say that it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
        reason = "permission denied"
    except OSError as error:
        writable, reason = False, error.strerror
    if not writable:
        raise OSError(f"cannot write to the {what} {folder}: {reason}; set {setting} to one you can write")
    return folder


def _data_dir() -> Path:
    return in_repository(os.environ.get("MOVIELENS_DATA_DIR") or "data")


def _tracking_uri() -> str:
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if sqlite := re.fullmatch(r"sqlite(?:\+pysqlite)?:///(?!file:|:memory:)([^?]+)(\?.*)?", uri):
        return _sqlite_uri(ROOT / Path(unquote(sqlite[1])).expanduser()) + (sqlite[2] or "")
    if uri.startswith("file:") or ("://" not in uri and uri != "databricks"):
        raise ValueError(
            f"MLFLOW_TRACKING_URI: {redact(uri)!r} would be a folder of files, which MLflow no longer keeps runs in; "
            "name a database, such as sqlite:///mlflow.db, or a server, http://…"
        )
    address, login = split_login(uri)
    if not (uri.startswith("http") and login and all(login)):  # MLflow has no variables for one without a password
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = login
    return address


def _sqlite_uri(file: Path) -> str:
    """Name a database by its file, whatever the characters in its path."""
    path = os.path.normpath(file)
    quoted = path.replace("%", "%25").replace("?", "%3F")
    # MLflow would make the quoted folder of a URI that begins with sqlite:///, too.
    return f"sqlite:///{path}" if quoted == path else f"sqlite+pysqlite:///{quoted}"


def _count(name: str, text: str, *words: str) -> int:
    """Turn a variable's text into a count of at least 1."""
    number = int(text) if text.strip().isdecimal() else 0
    if number < 1:
        allowed = " or ".join(["a whole number of at least 1", *(repr(word) for word in words)])
        raise ValueError(f"{name}: {text!r} is not {allowed}")
    return number


def _relative(text: str) -> str:
    """Shorten paths below the repository."""
    return text.replace(f"{ROOT}{os.sep}", "")
