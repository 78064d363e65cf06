import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

from conftest import REPOSITORY
from utilities import mlflow_logger, runs_to_df, store, tracking_client

UNREACHABLE = "unset MLFLOW_TRACKING_URI to use a local file"


def python(script, environment, **options):
    """Run a script in a process of its own, and give what it prints."""
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, **options
    )
    assert process.returncode == 0, process.stderr
    return process.stdout + process.stderr


@pytest.fixture(scope="module")
def empty_file(tmp_path_factory):
    """Make a store without the series' experiment, to be copied: to make one takes seconds."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}")
    return file


@pytest.fixture
def use_store(empty_file, monkeypatch):
    """Put a fresh store into a folder, or go on with the one there, and use it."""

    def use(folder):
        folder.mkdir(exist_ok=True)
        if not (folder / "mlflow.db").exists():
            shutil.copy(empty_file, folder)
        quoted = str(folder).replace("%", "%25").replace("?", "%3F")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{quoted}/mlflow.db")

    return use


def run_with_artifact(text, folder):
    run_id = mlflow_logger("model").run_id
    (folder / "note.txt").write_text(text)
    tracking_client().log_artifact(run_id, folder / "note.txt")
    return run_id


def artifact(run_id, folder):
    return Path(tracking_client().download_artifacts(run_id, "note.txt", str(folder))).read_text()


# A file


def test_a_moved_store_brings_its_artifacts_along_and_takes_new_ones(use_store, tmp_path):
    use_store(tmp_path / "before")
    old = run_with_artifact("old", tmp_path)
    (tmp_path / "before").rename(tmp_path / "after")
    use_store(tmp_path / "after")
    assert artifact(old, tmp_path) == "old"
    new = run_with_artifact("new", tmp_path)
    assert artifact(new, tmp_path) == "new"
    assert (tmp_path / "after" / "mlartifacts" / new / "artifacts" / "note.txt").read_text() == "new"
    assert not (tmp_path / "before").exists()


def test_a_copied_store_writes_beside_itself_and_reads_what_was_not_copied(use_store, tmp_path):
    use_store(tmp_path / "original")
    old = run_with_artifact("old", tmp_path)
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "original" / "mlflow.db", tmp_path / "copy")
    use_store(tmp_path / "copy")
    assert artifact(old, tmp_path) == "old"
    new = run_with_artifact("new", tmp_path)
    assert (tmp_path / "copy" / "mlartifacts" / new / "artifacts" / "note.txt").read_text() == "new"


def test_artifacts_that_were_placed_elsewhere_stay_there(use_store, tmp_path):
    use_store(tmp_path / "store")
    location = (tmp_path / "elsewhere").as_uri()
    tracking_client().create_experiment(store.EXPERIMENT, artifact_location=location)
    run_id = run_with_artifact("kept", tmp_path)
    assert (tmp_path / "elsewhere" / run_id / "artifacts" / "note.txt").read_text() == "kept"


def test_a_checkout_works_whatever_the_characters_in_its_path(tmp_path, environment):
    checkout = tmp_path / "50% of a?b#c %20"
    shutil.copytree(REPOSITORY / "utilities", checkout / "utilities", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", checkout)
    (tmp_path / "note.txt").write_text("text")
    script = """
from pathlib import Path
import utilities
run_id = utilities.mlflow_logger("model").run_id
client = utilities.tracking_client()
client.log_artifact(run_id, "note.txt")
print(Path(client.download_artifacts(run_id, "note.txt")).read_text(), utilities.runs_to_df()["model"].to_list())
"""
    del (environment := dict(environment))["MLFLOW_TRACKING_URI"]
    assert "text ['model']" in python(script, environment | {"PYTHONPATH": str(checkout)}, cwd=tmp_path)
    assert (checkout / "mlflow.db").exists()
    assert len(list(checkout.glob("mlartifacts/*/artifacts/note.txt"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [checkout.name, "note.txt"]


def test_three_processes_make_a_fresh_store_together(tmp_path, environment):
    environment = environment | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    script = "from utilities.store import open_experiment; input(); print(open_experiment())"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes) for _ in range(3)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=120)[0] for process in processes] == ["1\n"] * 3


def test_a_store_in_a_folder_that_takes_no_files_is_refused(use_store, tmp_path, monkeypatch):
    use_store(tmp_path / "store")
    access = os.access
    # The superuser, who runs tests in containers, can write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "store" and access(path, mode))
    with pytest.raises(PermissionError, match=f"cannot write to {tmp_path}/store/mlflow.db"):
        tracking_client()


def test_a_deleted_experiment_is_named_with_the_way_to_restore_it(use_store, tmp_path):
    use_store(tmp_path / "store")
    run_id = mlflow_logger("model").run_id
    client = tracking_client()
    client.delete_experiment(client.get_experiment_by_name(store.EXPERIMENT).experiment_id)
    with pytest.raises(RuntimeError, match=f"experiment '{store.EXPERIMENT}' in sqlite:///.* was deleted") as error:
        mlflow_logger("model")
    remedy = re.search(r"utilities\.(tracking_client\(\)\.restore_experiment\('\d+'\))", str(error.value))[1]
    eval(remedy)
    mlflow_logger("model")
    assert run_id in runs_to_df()["run_id"].to_list()


def test_a_run_whose_process_was_killed_is_closed_by_the_next_start(use_store, tmp_path, environment):
    use_store(tmp_path / "store")
    uri = os.environ["MLFLOW_TRACKING_URI"]
    script = """
import time
from utilities.store import open_experiment, process_tags, tracking_client
print(tracking_client().create_run(open_experiment(), tags=process_tags()).info.run_id, flush=True)
time.sleep(600)
"""
    environment = environment | {"MLFLOW_TRACKING_URI": uri}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    run_id = process.stdout.readline().strip()
    client = tracking_client()
    experiment_id = store.open_experiment()
    elsewhere = client.create_run(experiment_id, tags=client.get_run(run_id).data.tags | {"host": "elsewhere"})
    reused = client.create_run(experiment_id, tags=store.process_tags() | {"process_start": "1000000000"})
    with pytest.warns(UserWarning, match=f"marked as KILLED, since their process is gone: {reused.info.run_name}$"):
        store.open_experiment()
    assert client.get_run(run_id).info.status == "RUNNING"
    process.kill()
    process.wait()
    name = client.get_run(run_id).info.run_name
    with pytest.warns(UserWarning, match=f"marked as KILLED, since their process is gone: {name}$"):
        store.open_experiment()
    status = [client.get_run(run).info.status for run in (run_id, elsewhere.info.run_id, reused.info.run_id)]
    assert status == ["KILLED", "RUNNING", "KILLED"]


# The page of runs, and a server


@pytest.fixture(scope="module")
def page(empty_file, tmp_path_factory, environment):
    """Start `python -m utilities.store` with port 5000 taken: what it prints, and the address that it opens."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(empty_file, folder)
    browser = folder / "browser"
    browser.write_text(f"#!/bin/sh\necho $1 > {folder}/opened\n")
    browser.chmod(0o755)
    environment = environment | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "BROWSER": str(browser),
        "DISPLAY": ":0",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*,127.1:*",  # as --allowed-hosts
    }
    python("import utilities; utilities.mlflow_logger('unfinished').run_id; import os; os._exit(0)", environment)
    client = MlflowClient(environment["MLFLOW_TRACKING_URI"])
    experiment_id = client.get_experiment_by_name(store.EXPERIMENT).experiment_id
    client.create_run(experiment_id, run_name="far_away", tags={"host": "elsewhere"})
    try:
        taken = socket.create_server(("127.0.0.1", 5000))
    except OSError:  # it is taken already
        taken = socket.socket()
    with taken, (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "utilities.store"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        printed = []
        for line in process.stdout:
            printed.append(line)
            if url := re.search("The table of runs: (.*)", line):
                break
    yield {"printed": "".join(printed), "url": url[1], "folder": folder, "log": folder / "log"}
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    assert process.wait(timeout=30) == 0
    assert "line" not in "".join(re.findall(".*utilities/store.py.*", (folder / "log").read_text()))  # of a traceback


@pytest.fixture(scope="module")
def server(page):
    return page["url"].split("/#")[0]


def test_the_page_of_runs_is_named_and_opened_on_a_port_that_is_free(page, server):
    port = server.rpartition(":")[2]
    assert port != "5000"
    assert f"port 5000 is taken: MLflow gets {port}" in page["printed"]
    assert re.fullmatch(
        rf"{server}/#/experiments/\d+/runs\?workflowType=machine_learning&viewStateShareKey=course", page["url"]
    )
    assert requests.get(server, timeout=10).ok
    for _ in range(100):
        if (page["folder"] / "opened").exists():
            break
        time.sleep(0.1)
    assert (page["folder"] / "opened").read_text().strip() == page["url"]


def test_the_page_of_runs_has_columns_of_what_matters(page, server):
    experiment = MlflowClient(server).get_experiment_by_name(store.EXPERIMENT)
    view = json.loads(experiment.tags["mlflow.sharedViewState.course"])
    assert {"metrics.`val_loss`", "metrics.`test_loss`", "params.`model`", "attributes.`Dataset`"} < set(
        view["selectedColumns"]
    )
    assert view["columnOrder"] == view["selectedColumns"] == list(view["columnWidths"])


def test_the_page_of_runs_says_which_were_killed_and_which_may_still_be_running(page):
    assert "marked as KILLED, since their process is gone: unfinished_" in page["log"].read_text()
    assert "still running on elsewhere: far_away (run " in page["printed"]
    assert "unfinished" not in page["printed"]


@contextmanager
def web_server(handle):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = handle(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def guarded(server, monkeypatch):
    """Put a proxy before the server that asks for a login, and has no /health: its host and port."""
    logins = {"Basic " + base64.b64encode(b"ann:s3cr@t").decode(), "Bearer s3cr@t"}

    def forward(request):
        if request.headers.get("Authorization") not in logins:
            return 401, b"log in"
        if request.path == "/health":
            return 404, b"no such page"
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        headers = {"Content-Type": request.headers.get("Content-Type", "")}
        answer = requests.request(request.command, server + request.path, data=body, headers=headers, timeout=30)
        return answer.status_code, answer.content

    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    with web_server(forward) as address:
        yield address


def test_a_server_behind_a_login_is_used_with_the_login_that_mlflow_uses(guarded, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{guarded}")
    for login in ({"USERNAME": "ann", "PASSWORD": "s3cr@t"}, {"TOKEN": "s3cr@t"}):
        with monkeypatch.context() as patch:
            for name, value in login.items():
                patch.setenv(f"MLFLOW_TRACKING_{name}", value)
            run_id = mlflow_logger("model").run_id
            assert run_id in runs_to_df()["run_id"].to_list()


def test_a_login_in_the_address_is_used_and_printed_nowhere(guarded, environment):
    environment = environment | {"MLFLOW_TRACKING_URI": f"http://ann:s3cr%40t@{guarded}"}
    script = """
import utilities
logger = utilities.mlflow_logger("model")
logger.log_metrics({"loss": 1.0}, step=0)
logger.finalize("success")
print(utilities.settings(), [utilities.settings()], utilities.runs_to_df().height)
try:
    utilities.step_logs_to_df("f00")
except ValueError as error:
    print(error)
"""
    printed = python(script, environment)
    assert "View run model_" in printed and f"http://{guarded}" in printed
    assert "s3cr" not in printed and "ann" not in printed


@pytest.mark.parametrize("login", ["", "ann:s3cr3t@", "s3cr3t@"])
def test_a_login_that_is_missing_or_wrong_is_said_and_not_printed(guarded, monkeypatch, login):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{login}{guarded}")
    with pytest.raises(PermissionError, match=r"wants another login.*401.*MLFLOW_TRACKING_USERNAME") as error:
        tracking_client()
    assert guarded in str(error.value)
    assert "s3cr3t" not in str(error.value)


def test_a_server_is_used_by_the_names_it_was_told_and_the_option_is_said_where_it_lacks_one(server, monkeypatch):
    # 127.1 and 127.0.1 are other names of the loopback.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.replace("127.0.0.1", "127.1"))
    assert mlflow_logger("model").run_id in runs_to_df()["run_id"].to_list()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unknown := server.replace("127.0.0.1", "127.0.1"))
    with pytest.raises(PermissionError, match=f"start it with --allowed-hosts {unknown.removeprefix('http://')}$"):
        tracking_client()


def test_a_server_that_accepts_and_never_answers_counts_as_dead(monkeypatch):
    monkeypatch.setattr(store, "_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://ann:s3cr3t@127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
        with pytest.raises(ConnectionError, match=rf"answers at http://127.*{UNREACHABLE} \(.*timed out") as error:
            tracking_client()
    assert "s3cr3t" not in str(error.value)


@pytest.mark.parametrize("status", [404, 502])
def test_another_server_at_the_address_is_said(status, monkeypatch):
    with web_server(lambda request: (status, b"hello")) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}")
        with pytest.raises(
            ConnectionError, match=rf"server at http://{address} answers {status} .*MLFLOW_TRACKING_URI"
        ):
            tracking_client()
