"""MLflow's store: where it is, whether it answers, and the series' experiment in it."""

import os
from pathlib import Path

import requests
from mlflow import MlflowClient

from utilities.settings import settings

EXPERIMENT = "movie_lens_rating_prediction"


def open_experiment() -> str:
    """Make the series' experiment unless the store has it.

    Returns:
        The experiment's id.

    Raises:
        ConnectionError: The tracking server cannot be reached.
        OSError: The store's file cannot be written.
    """
    client = tracking_client()
    if experiment := client.get_experiment_by_name(EXPERIMENT):
        return experiment.experiment_id
    return client.create_experiment(EXPERIMENT, artifact_location=_artifact_location(settings().tracking_uri))


def tracking_client() -> MlflowClient:
    """Connect to the tracking store, failing at once and by name where MLflow would try for minutes.

    Returns:
        MLflow's client for `MLFLOW_TRACKING_URI`.

    Raises:
        ConnectionError: The tracking server cannot be reached.
        OSError: The store's file cannot be written.
    """
    uri = settings().tracking_uri
    try:
        if uri.startswith("http"):
            requests.get(f"{uri.rstrip('/')}/health", timeout=5).raise_for_status()
    except requests.RequestException as error:
        raise ConnectionError(
            f"no MLflow tracking server answers at {uri}: start it, or unset MLFLOW_TRACKING_URI to use a local file"
        ) from error
    if (file := _sqlite_file(uri)) and not file.parent.is_dir():
        raise FileNotFoundError(f"the folder {file.parent} of MLFLOW_TRACKING_URI={uri} does not exist; make it first")
    if file and (file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK)):
        raise PermissionError(
            f"cannot write to {file}, the store of MLFLOW_TRACKING_URI={uri}; name a file you can write"
        )
    return MlflowClient(tracking_uri=uri)


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def _artifact_location(uri: str) -> str | None:
    """Put artifacts beside a local store; a server has its own place for them."""
    file = _sqlite_file(uri)
    return (file.resolve().parent / "mlartifacts").as_uri() if file else None
