"""Isolate the tests from the user's runs and data, and stop a notebook at its first failing cell."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest


def pytest_configure(config):
    folder = Path(tempfile.mkdtemp(prefix="movielens-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    for name in [name for name in os.environ if name.startswith("MOVIELENS_")]:
        del os.environ[name]
    os.environ["MOVIELENS_DATA_DIR"] = str(folder / "data")
    os.environ["MOVIELENS_WORK_DIR"] = str(folder / "work")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the Makefile has it
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads are slow on a busy machine
    os.environ["MOVIELENS_ACCELERATOR"] = "cpu"  # which the outputs in the notebooks come from
    os.environ["MOVIELENS_CLAIMS"] = "strict"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and item.path.suffix == ".ipynb":
        item.parent.failed_cell = item.name
    return report


def pytest_runtest_setup(item):
    if failed := getattr(item.parent, "failed_cell", None):
        pytest.skip(f"{failed} failed before")
