import math
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest
import torch
from mlflow import MlflowClient
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from tiny import N_MOVIES, N_USERS, BiasModel, ScheduledModel, mapped_ratings_df

from utilities import (
    DictLogger,
    get_data_loaders,
    make_trainer,
    mlflow_logger,
    runs_to_df,
    settings,
    step_logs_to_df,
    training_logs_to_df,
)

# 105 rows to train on, in batches of 32, 32, 32 and 9: four steps an epoch.
RATINGS_DF = mapped_ratings_df(150)
LOGS_SCHEMA = {"epoch": pl.Int64, "batch": pl.Int64, "dataset": pl.String, "loss": pl.Float64}


def fit(model, logger, max_epochs):
    loaders = get_data_loaders(RATINGS_DF, batch_size=32)
    trainer = make_trainer(max_epochs, logger=logger)
    trainer.fit(model, loaders.train, loaders.val)
    return trainer, loaders


class FailingModel(BiasModel):
    """Raises at the seventh step, in the middle of the second epoch."""

    def training_step(self, batch, batch_idx):
        if self.global_step == 6:
            raise RuntimeError("out of luck")
        return super().training_step(batch, batch_idx)


@pytest.fixture(scope="module")
def runs():
    """Make a run of each kind: id by name."""
    finished = mlflow_logger("finished", embedding_size=1, l2=0.1)
    model = BiasModel()
    trainer, loaders = fit(model, finished, max_epochs=2)
    trainer.test(model, loaders.test, verbose=False)

    diverged = mlflow_logger("diverged", l2=0)
    fit(ScheduledModel([4.0, 3.0, math.nan]), diverged, max_epochs=3)

    failed = mlflow_logger("failed")
    with pytest.raises(RuntimeError, match="out of luck"):
        fit(FailingModel(), failed, max_epochs=2)

    empty = mlflow_logger("empty")
    return {logger._run_name.split("_")[0]: logger.run_id for logger in (finished, diverged, failed, empty)}


@pytest.fixture(scope="module")
def same_fits_in_memory():
    """Repeat the fits of `runs` with the in-memory logger."""
    loggers = {"finished": DictLogger(), "diverged": DictLogger(), "failed": DictLogger(), "empty": DictLogger()}
    fit(BiasModel(), loggers["finished"], max_epochs=2)
    fit(ScheduledModel([4.0, 3.0, math.nan]), loggers["diverged"], max_epochs=3)
    with pytest.raises(RuntimeError, match="out of luck"):
        fit(FailingModel(), loggers["failed"], max_epochs=2)
    return loggers


@pytest.fixture(params=["mlflow", "memory"])
def source(request, runs, same_fits_in_memory):
    return runs if request.param == "mlflow" else same_fits_in_memory


def test_epoch_logs_are_a_long_typed_frame_with_epochs_from_1(source):
    logs_df = training_logs_to_df(source["finished"])
    assert logs_df.schema == LOGS_SCHEMA
    assert logs_df.drop("loss").rows() == [
        (1, 4, "train_loss"),
        (1, 4, "val_loss"),
        (2, 8, "train_loss"),
        (2, 8, "val_loss"),
    ]
    assert logs_df["loss"].is_between(0, 10).all()


def test_step_logs_are_every_step_in_order(source):
    steps_df = step_logs_to_df(source["finished"])
    assert steps_df.schema == {"batch": pl.Int64, "loss": pl.Float64}
    assert steps_df["batch"].to_list() == list(range(8))


def test_steps_weighted_by_their_rows_add_up_to_the_epochs(source):
    steps = step_logs_to_df(source["finished"])["loss"].to_list()
    epochs = training_logs_to_df(source["finished"]).filter(pl.col("dataset") == "train_loss")["loss"].to_list()
    for epoch, losses in enumerate((steps[:4], steps[4:])):
        mean = sum(size * loss for size, loss in zip((32, 32, 32, 9), losses, strict=True)) / 105
        assert epochs[epoch] == pytest.approx(mean, rel=1e-6)


def test_a_name_becomes_a_column(source):
    for frame in (training_logs_to_df, step_logs_to_df):
        named_df = frame(source["finished"], name="small")
        assert named_df.columns[-1] == "name"
        assert named_df["name"].unique().to_list() == ["small"]
        assert named_df.drop("name").equals(frame(source["finished"]))


def test_losses_of_a_diverged_run_are_nan_not_null(source):
    logs_df = training_logs_to_df(source["diverged"])
    assert logs_df.schema == LOGS_SCHEMA
    assert logs_df["loss"].null_count() == 0
    assert logs_df.select("epoch", pl.col("loss").is_nan()).unique().sort("epoch").rows() == [
        (1, False),
        (2, False),
        (3, True),
    ]
    assert step_logs_to_df(source["diverged"])["loss"].is_nan().to_list() == [False] * 8 + [True] * 4


def test_a_run_that_failed_in_mid_epoch_keeps_every_step_and_its_finished_epoch(source):
    assert step_logs_to_df(source["failed"])["batch"].to_list() == list(range(6))
    assert training_logs_to_df(source["failed"])["epoch"].to_list() == [1, 1]


def test_an_empty_run_is_refused_with_what_it_lacks(source):
    with pytest.raises(
        ValueError, match=r"^(run '\w+'|the DictLogger) has no finished epoch: no train_loss or val_loss"
    ):
        training_logs_to_df(source["empty"])
    with pytest.raises(ValueError, match=r"^(run '\w+'|the DictLogger) has no steps: no train_loss_step was logged"):
        step_logs_to_df(source["empty"])


def test_an_unknown_run_id_is_refused_with_the_store_that_lacks_it(store):
    for frame in (training_logs_to_df, step_logs_to_df):
        with pytest.raises(ValueError, match=r"no run 'f00' in sqlite:///.*mlflow\.db; runs_to_df") as error:
            frame("f00")
        assert store in str(error.value)


def test_runs_are_one_typed_row_each_the_oldest_first(runs):
    runs_df = runs_to_df().filter(pl.col("run_id").is_in(list(runs.values())))
    assert runs_df["run_id"].to_list() == list(runs.values())
    assert runs_df["status"].to_list() == ["FINISHED", "FINISHED", "FAILED", "RUNNING"]
    assert runs_df["model"].to_list() == ["finished", "diverged", "failed", "empty"]
    types = {
        "run_id": pl.String,
        "run_name": pl.String,
        "status": pl.String,
        "start_time": pl.Datetime("ms", "UTC"),
        "seconds": pl.Float64,
        "dataset": pl.String,
        "top_movies": pl.Int64,
        "split_seed": pl.Int64,
        "l2": pl.Float64,
        "learning_rate": pl.Float64,
        "batch_size": pl.Int64,
        "train_loss": pl.Float64,
        "val_loss": pl.Float64,
        "best_val_loss": pl.Float64,
        "test_loss": pl.Float64,
    }
    assert {name: runs_df.schema[name] for name in types} == types
    assert not {"epoch", "best_epoch", "train_loss_step"} & set(runs_df.columns)
    assert runs_df["seconds"].is_null().to_list() == [False, False, False, True]
    assert abs(runs_df["start_time"][0] - datetime.now(UTC)) < timedelta(minutes=10)


def test_runs_have_last_and_best_metrics_and_null_where_none_was_logged(runs):
    rows = {row["run_id"]: row for row in runs_to_df().iter_rows(named=True)}
    finished, diverged, failed, empty = (rows[run_id] for run_id in runs.values())
    val_losses = training_logs_to_df(runs["finished"]).filter(pl.col("dataset") == "val_loss")["loss"]
    assert (finished["val_loss"], finished["best_val_loss"]) == (val_losses[1], val_losses.min())
    assert finished["test_loss"] > 0
    assert math.isnan(diverged["val_loss"])
    assert diverged["best_val_loss"] == training_logs_to_df(runs["diverged"]).drop_nans()["loss"].tail(1).item()
    assert failed["val_loss"] > 0
    assert [empty[name] for name in ("train_loss", "val_loss", "best_val_loss", "test_loss", "l2")] == [None] * 5


def test_a_run_records_what_is_needed_to_repeat_it(runs):
    parameters = MlflowClient(settings().tracking_uri).get_run(runs["finished"]).data.params
    assert parameters == {
        "model": "finished",
        "dataset": "built-in",
        "top_movies": "500",
        "sample": "all",
        "split_seed": "42",
        "torch": version("torch"),
        "utilities": version("movielens-notebook-course"),
        "embedding_size": "1",
        "l2": "0.1",
        "n_users": str(N_USERS),
        "n_movies": str(N_MOVIES),
        "learning_rate": "0.05",
        "batch_size": "32",
        "n_train_ratings": "105",
        "n_parameters": str(N_USERS + N_MOVIES),
        "max_epochs": "2",
    }


def test_the_run_is_named_after_its_model_and_time_in_the_series_experiment(runs):
    client = MlflowClient(settings().tracking_uri)
    run = client.get_run(runs["finished"])
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.name == "movie_lens_rating_prediction"
    model, time_of_run = run.info.run_name.split("_", 1)
    assert model == "finished"
    assert abs(datetime.strptime(time_of_run, "%Y-%m-%d_%H-%M-%S") - datetime.now()) < timedelta(minutes=10)


def test_the_best_checkpoint_is_an_artifact_of_its_run_beside_the_store(runs, store, tmp_path):
    client = MlflowClient(settings().tracking_uri)
    path = Path(client.download_artifacts(runs["diverged"], "best/best.ckpt", str(tmp_path)))
    # The second epoch predicts 3 stars, the first 4: the mean rating says which of them is best.
    val_losses = training_logs_to_df(runs["diverged"]).filter(pl.col("dataset") == "val_loss")["loss"]
    best_level = [4.0, 3.0][val_losses[:2].arg_min()]
    assert torch.load(path, weights_only=True)["state_dict"]["level"].item() == best_level
    folder = Path(store.removeprefix("sqlite:///")).parent / "mlartifacts"
    assert client.get_run(runs["diverged"]).info.artifact_uri.startswith(folder.as_uri())


def test_of_several_processes_only_the_first_touches_the_store(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = mlflow_logger("second_process")
    logger.log_hyperparams({"k": 1})
    logger.log_metrics({"train_loss_step": 1.0}, step=0)
    logger.finalize("success")
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_written_by_the_thousand_and_all_of_them(store):
    logger = mlflow_logger("many")
    client = MlflowClient(store)
    start = time.perf_counter()
    for step in range(2500):
        logger.log_metrics({"train_loss_step": step / 4}, step=step)
    seconds = time.perf_counter() - start
    assert len(client.get_metric_history(logger.run_id, "train_loss_step")) == 2000
    logger.flush()
    assert step_logs_to_df(logger.run_id).rows() == [(step, step / 4) for step in range(2500)]
    assert seconds < 5  # a call for each takes 10 s
    logger.finalize("success")
    assert client.get_run(logger.run_id).info.status == "FINISHED"


INTERRUPTED = """
import os, signal
from tiny import BiasModel, mapped_ratings_df
from utilities import get_data_loaders, make_trainer, mlflow_logger

class InterruptedModel(BiasModel):
    def training_step(self, batch, batch_idx):
        if self.global_step == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return super().training_step(batch, batch_idx)

loaders = get_data_loaders(mapped_ratings_df(150), batch_size=32)
logger = mlflow_logger("interrupted")
print(logger.run_id, flush=True)
make_trainer(1000, logger=logger, patience=1000).fit(InterruptedModel(), loaders.train, loaders.val)
print("not interrupted")
"""


def test_an_interrupted_fit_loses_no_step_and_counts_as_failed(environment):
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], env=environment, capture_output=True, text=True, timeout=120
    )
    assert process.returncode != 0
    assert "not interrupted" not in process.stdout
    run_id = process.stdout.split()[0]
    # The interrupt comes before step 6 or, as Python handles signals between two instructions, just after.
    batches = step_logs_to_df(run_id)["batch"].to_list()
    assert batches in (list(range(6)), list(range(7)))
    assert training_logs_to_df(run_id)["epoch"].to_list() == [1, 1]
    (row,) = runs_to_df().filter(pl.col("run_id") == run_id).iter_rows(named=True)
    assert (row["status"], row["model"], row["batch_size"]) == ("FAILED", "interrupted", 32)
    assert row["seconds"] > 0


@pytest.mark.parametrize(
    "call", [lambda: mlflow_logger("x"), runs_to_df, lambda: training_logs_to_df("x"), lambda: step_logs_to_df("x")]
)
def test_a_tracking_server_out_of_reach_is_named_at_once(monkeypatch, call):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    start = time.perf_counter()
    with pytest.raises(ConnectionError, match=f"no MLflow tracking server answers at {uri}: start it, or unset"):
        call()
    assert time.perf_counter() - start < 6


def test_a_store_in_a_folder_that_does_not_exist_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/missing/mlflow.db")
    with pytest.raises(FileNotFoundError, match=f"folder {tmp_path}/missing of MLFLOW_TRACKING_URI"):
        mlflow_logger("x")
    assert not any(tmp_path.iterdir())


def test_a_store_that_is_no_file_is_refused_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}")
    start = time.perf_counter()
    with pytest.raises(OSError, match=f"cannot write to {tmp_path}, the store of MLFLOW_TRACKING_URI"):
        mlflow_logger("x")
    assert time.perf_counter() - start < 6


def test_the_in_memory_logger_keeps_metrics_and_parameters_by_name():
    logger = DictLogger()
    logger.log_metrics({"a": 1.0, "b": 2.0}, step=0)
    logger.log_metrics({"a": 3.0}, step=5)
    logger.log_hyperparams({"k": 5})
    logger.log_hyperparams({"seed": 0})
    assert logger.metrics == {"a": [(0, 1.0), (5, 3.0)], "b": [(0, 2.0)]}
    assert logger.params == {"k": 5, "seed": 0}
