"""The settings of the series: environment variables with defaults, each checked when it is read."""

import os
from dataclasses import dataclass
from pathlib import Path

from utilities.releases import RELEASES

_PACKAGE_PARENT = Path(__file__).resolve().parents[1]
MOVIELENS_URL = "https://files.grouplens.org/datasets/movielens/"
ROOT = _PACKAGE_PARENT if (_PACKAGE_PARENT / "pyproject.toml").exists() else Path.cwd()


@dataclass(frozen=True)
class Settings:
    """What the environment asks for.

    Attributes:
        dataset: Name of the MovieLens release (`MOVIELENS_DATASET`).
        top_movies: Number of most-rated movies to keep, None for all (`MOVIELENS_TOP_MOVIES`; `all`).
        sample: Number of ratings to keep, None for all (`MOVIELENS_SAMPLE`).
        batch_size: Ratings per training step, the release's default.
        data_dir: Folder of downloads and derived files (`MOVIELENS_DATA_DIR`).
        tracking_uri: MLflow's store (`MLFLOW_TRACKING_URI`).
        url: Where MovieLens' archives are downloaded from (`MOVIELENS_URL`): GroupLens' server, or a mirror of it.
    """

    dataset: str
    top_movies: int | None
    sample: int | None
    batch_size: int
    data_dir: Path
    tracking_uri: str
    url: str

    def __str__(self):
        """One setting a line, paths relative to the repository, as the notebooks print them."""
        shown = {
            "dataset": self.dataset,
            "top movies": self.top_movies or "all",
            "sample": self.sample or "all ratings",
            "batch size": self.batch_size,
            "data": _relative(str(self.data_dir)),
            "tracking": _relative(self.tracking_uri),
        }
        return "\n".join(f"{name:<11} {value}" for name, value in shown.items())


def settings(dataset: str | None = None) -> Settings:
    """Read the settings from the environment.

    Args:
        dataset: Name of the MovieLens release; `MOVIELENS_DATASET` unless given.

    Returns:
        The settings, defaults filled in.

    Raises:
        ValueError: The dataset is unknown, or a variable has a value that cannot be used; the message names it.
    """
    environ = os.environ
    dataset = dataset or environ.get("MOVIELENS_DATASET") or "built-in"
    if dataset not in RELEASES:
        raise ValueError(f"unknown dataset {dataset!r}; known: {', '.join(RELEASES)} (setting MOVIELENS_DATASET)")
    release = RELEASES[dataset]
    top_movies = environ.get("MOVIELENS_TOP_MOVIES") or str(release.top_movies)
    sample = environ.get("MOVIELENS_SAMPLE")
    url = environ.get("MOVIELENS_URL") or MOVIELENS_URL
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"MOVIELENS_URL: {url!r} does not begin with http:// or https://")
    return Settings(
        dataset=dataset,
        top_movies=None if top_movies == "all" else _count("MOVIELENS_TOP_MOVIES", top_movies, "all"),
        sample=_count("MOVIELENS_SAMPLE", sample) if sample else None,
        batch_size=release.batch_size,
        data_dir=Path(environ.get("MOVIELENS_DATA_DIR") or ROOT / "data").expanduser().resolve(),
        tracking_uri=environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}",
        url=url,
    )


def data_folder(*parts: str) -> Path:
    """Give a folder below the data folder, made if need be.

    Args:
        parts: Names below the data folder, for example `"embeddings"`.

    Returns:
        The folder's path; it exists and can be written.

    Raises:
        OSError: The folder cannot be made or written; the message names it and the setting.
    """
    folder = settings().data_dir.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
        reason = "permission denied"
    except OSError as error:
        writable, reason = False, error.strerror
    if not writable:
        raise OSError(
            f"cannot write to the data folder {folder}: {reason}; set MOVIELENS_DATA_DIR to one you can write"
        )
    return folder


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
