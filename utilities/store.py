"""MLflow's store: where it is, whether it answers, the series' experiment in it, and its page of runs.

`python -m utilities.store` opens that page.
"""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import warnings
import webbrowser
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil
import requests
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.rest_utils import http_request

from utilities.settings import ROOT, redact, settings

EXPERIMENT = "movie_lens_rating_prediction"
_PATIENCE = 10  # seconds that a server may take to answer
_CLOCK = 60  # seconds by which the start of a process may seem to differ when its clock is set
_VIEW = "course"
# The page of runs has these columns, widths in pixels: what matters has to be in view without scrolling.
_COLUMNS = {
    "attributes.`Run Name`": 170,
    **dict.fromkeys(["metrics.`val_loss`", "metrics.`test_loss`"], 90),
    **dict.fromkeys(
        [f"params.`{name}`" for name in ("model", "n_parameters", "seed", "batch_size", "max_epochs")], 100
    ),
    **dict.fromkeys(["attributes.`Created`", "attributes.`Duration`", "attributes.`Dataset`"], 100),
}


def tracking_client() -> MlflowClient:
    """Connect to the tracking store, failing at once and by name where MLflow would try for minutes.

    Of several processes that make a fresh store in a file at once, one does and the others wait.

    Returns:
        MLflow's client for `MLFLOW_TRACKING_URI`.

    Raises:
        ConnectionError: The tracking server cannot be reached, or something else answers there.
        PermissionError: The server wants a login, or is not told the name it is called by; or the store's file cannot be
            written.
        OSError: The folder of the store's file does not exist.
    """
    uri = settings().tracking_uri
    if uri.startswith("http"):
        _check_server(uri)
    file = _sqlite_file(uri)
    if file is None:
        return MlflowClient(tracking_uri=uri)
    _check_file(file)
    with FileLock(f"{file}.lock"):
        client = MlflowClient(tracking_uri=uri)
        _follow_move(file)
    return client


def open_experiment() -> str:
    """Make the series' experiment unless the store has it, and close the runs whose process was killed.

    Returns:
        The experiment's id.

    Raises:
        OSError: As `tracking_client`.
        RuntimeError: The experiment was deleted; the message says how to restore it.
    """
    client, uri = tracking_client(), settings().tracking_uri
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        file = _sqlite_file(uri)  # artifacts lie beside a file; a server has its own place for them
        with suppress(MlflowException):  # another process was quicker
            return client.create_experiment(EXPERIMENT, _artifacts(file) if file else None)
        experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment.lifecycle_stage == "deleted":
        raise RuntimeError(
            f"the experiment {EXPERIMENT!r} in {redact(uri)} was deleted, and MLflow keeps its name; restore it, with its "
            f"runs, by utilities.tracking_client().restore_experiment({experiment.experiment_id!r})"
        )
    _close_killed_runs(client, experiment.experiment_id)
    return experiment.experiment_id


def process_tags() -> dict[str, str]:
    """Say which process a run belongs to, so that a later one can tell whether it was killed.

    Returns:
        Tags of a run: `host`, `pid` and `process_start` (Unix seconds).
    """
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": str(process.pid), "process_start": f"{process.create_time():.0f}"}


def _check_server(uri: str) -> None:
    """Ask for what MLflow will ask for, in its own way, but once: its login counts, and `/health` need not exist."""
    name = f"the MLflow tracking server at {redact(uri)}"
    try:
        answer = http_request(
            get_default_host_creds(uri.rstrip("/")),
            "/api/2.0/mlflow/experiments/search",
            "GET",
            params={"max_results": 1},
            max_retries=0,
            timeout=_PATIENCE,
            raise_on_status=False,
        )
    except MlflowException as error:
        reason = redact(str(error).rpartition("Caused by ")[2])
        raise ConnectionError(
            f"no MLflow tracking server answers at {redact(uri)}: start it, or unset MLFLOW_TRACKING_URI to use a local "
            f"file ({reason})"
        ) from None
    if "Invalid Host header" in answer.text:
        host = urlsplit(uri).netloc
        raise PermissionError(f"{name} does not know itself by that name: start it with --allowed-hosts {host}")
    if answer.status_code in (401, 403):
        raise PermissionError(
            f"{name} wants another login ({answer.status_code} {answer.reason}): set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if not answer.ok:
        raise ConnectionError(f"{name} answers {answer.status_code} {answer.reason}; check MLFLOW_TRACKING_URI")


def _check_file(file: Path) -> None:
    if not file.parent.is_dir():
        raise FileNotFoundError(f"the folder {file.parent} of MLFLOW_TRACKING_URI does not exist; make it first")
    if file.is_dir() or not all(os.access(path, os.W_OK) for path in (file.parent, file) if path.exists()):
        raise PermissionError(f"cannot write to {file}, the store of MLFLOW_TRACKING_URI; name a file you can write")


def _sqlite_file(uri: str) -> Path | None:
    path = unquote(uri.partition(":///")[2].partition("?")[0])
    return Path(path) if uri.startswith("sqlite") and path and not path.startswith(("file:", ":memory:")) else None


def _artifacts(file: Path) -> str:
    return (file.resolve().parent / "mlartifacts").as_uri()


def _follow_move(file: Path) -> None:
    """Let the experiment and its runs point to the artifacts beside the store: MLflow keeps the path they were made at."""
    with closing(sqlite3.connect(file)) as database, database:
        query = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?"
        experiment, old = database.execute(query, [EXPERIMENT]).fetchone() or (None, "")
        new = _artifacts(file)
        if old == new or not (old.startswith("file:") and old.endswith("/mlartifacts")):
            return
        database.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", [new, experiment])
        query = "SELECT artifact_uri, run_uuid FROM runs WHERE experiment_id = ?"
        runs = [(uri, uri.replace(old, new, 1), run) for uri, run in database.execute(query, [experiment])]
        here = [(moved, run) for uri, moved, run in runs if _exists(moved) or not _exists(uri)]
        database.executemany("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", here)


def _exists(uri: str) -> bool:
    return Path(local_file_uri_to_path(uri)).exists()


def _running(client: MlflowClient, experiment_id: str) -> list[Run]:
    return client.search_runs([experiment_id], "attributes.status = 'RUNNING'")


def _close_killed_runs(client: MlflowClient, experiment_id: str) -> None:
    """Mark the runs of this machine as killed whose process is gone: nobody else will."""
    killed = [run for run in _running(client, experiment_id) if _is_killed(run.data.tags)]
    for run in killed:
        client.set_terminated(run.info.run_id, "KILLED")
    if killed:
        names = ", ".join(run.info.run_name for run in killed)
        warnings.warn(f"marked as KILLED, since their process is gone: {names}", stacklevel=3)


def _is_killed(tags: dict[str, str]) -> bool:
    if tags.get("host") != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(tags["pid"]))
        is_same = abs(process.create_time() - float(tags["process_start"])) < _CLOCK
        return not is_same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _table(client: MlflowClient, experiment_id: str) -> str:
    """Keep the columns with the experiment, as MLflow's "share view" does, and give the path of the page with them."""
    columns = list(_COLUMNS)
    view = {"selectedColumns": columns, "columnOrder": columns, "columnWidths": _COLUMNS}
    client.set_experiment_tag(experiment_id, f"mlflow.sharedViewState.{_VIEW}", json.dumps(view))
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={_VIEW}"


def _free_port(port: int) -> int:
    try:
        socket.create_server(("127.0.0.1", port)).close()
        return port
    except OSError:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return server.getsockname()[1]


def _show(url: str) -> None:
    print(f"The table of runs: {url}", flush=True)
    # Without a display Python would start a browser of text in this terminal.
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)


def main() -> None:
    """Open MLflow's page of the runs: on the tracking server, or on one that is started here for the store's file."""
    experiment_id = open_experiment()
    client, uri = tracking_client(), settings().tracking_uri
    for run in _running(client, experiment_id):
        host = run.data.tags.get("host", "a machine that it did not record")
        print(f"still running on {host}: {run.info.run_name} (run {run.info.run_id})")
    table = _table(client, experiment_id)
    if uri.startswith("http"):
        return _show(uri.rstrip("/") + table)
    port = _free_port(5000)
    if port != 5000:
        print(f"port 5000 is taken: MLflow gets {port}")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": uri,  # not as an argument, which every user of the machine can read
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven more processes, for what the course does not use
    }
    server = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        while server.poll() is None:
            with suppress(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{port}/health", timeout=_PATIENCE)
                _show(f"http://127.0.0.1:{port}{table}")
                sys.exit(server.wait())
            time.sleep(0.2)
        sys.exit(server.returncode)
    except KeyboardInterrupt:
        server.wait()


if __name__ == "__main__":
    main()
