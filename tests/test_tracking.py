import gc
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

import mlflow
import polars as pl
import pytest
import pytorch_lightning as lightning
import requests
import torch
from mlflow import MlflowClient
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from tiny import N_MOVIES, N_USERS, BiasModel, ScheduledModel, mapped_ratings_df

from utilities import (
    DictLogger,
    get_data_loaders,
    load_torch_data,
    make_trainer,
    mlflow_logger,
    runs_to_df,
    send_kept_runs,
    settings,
    split_train_test,
    step_logs_to_df,
    tracking,
    training_logs_to_df,
)
from utilities.frames import rows_digest

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
        (1, 3, "train_loss"),
        (1, 3, "val_loss"),
        (2, 7, "train_loss"),
        (2, 7, "val_loss"),
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
        "min_epochs": "6",
        "patience": "3",
        "dataset": "own rows",
        "rows_digest": rows_digest(RATINGS_DF),
        "n_ratings": "150",
        "split": "split_train_test",
        "split_seed": "42",
        "sample": "all",
    }


def test_a_run_names_the_rows_it_was_trained_on_as_mlflows_dataset(store):
    ratings_df = load_torch_data("built-in", 3)[0]
    logger = mlflow_logger("rows")
    loaders = get_data_loaders(ratings_df, split=partial(split_train_test, seed=1))
    make_trainer(1, logger=logger).fit(BiasModel(n_users=1000), loaders.train, loaders.val)
    run = MlflowClient(store).get_run(logger.run_id)
    assert (run.data.params["dataset"], run.data.params["top_movies"], run.data.params["split_seed"]) == (
        "built-in",
        "3",
        "1",
    )
    (rows,) = run.inputs.dataset_inputs
    assert (rows.dataset.name, rows.dataset.digest) == ("built-in", rows_digest(ratings_df))
    assert json.loads(rows.dataset.profile) == {"num_rows": ratings_df.height}
    assert [(tag.key, tag.value) for tag in rows.tags] == [("mlflow.data.context", "training")]
    assert mlflow.data.get_source(rows).to_dict()["tags"]["split_seed"] == "1"
    # What the environment says does not make it into the record.
    assert "dataset" not in MlflowClient(store).get_run(mlflow_logger("empty").run_id).data.params


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
    for step in range(2500):
        logger.log_metrics({"train_loss_step": step / 4}, step=step)
    assert len(client.get_metric_history(logger.run_id, "train_loss_step")) == 2000
    logger.flush()
    assert step_logs_to_df(logger.run_id).rows() == [(step, step / 4) for step in range(2500)]
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
    logger, reused = DictLogger(), {"a": 1.0, "b": 2.0}
    logger.log_metrics(reused, step=0)
    reused.clear()
    logger.log_metrics({"a": 3.0}, step=5)
    logger.log_hyperparams({"k": 5})
    logger.log_hyperparams({"seed": 0})
    assert logger.calls == [(0, {"a": 1.0, "b": 2.0}), (5, {"a": 3.0})]
    assert logger.metrics == {"a": [(0, 1.0), (5, 3.0)], "b": [(0, 2.0)]}
    assert logger.params == {"k": 5, "seed": 0}


# Any LightningModule, any of the loggers


class PlainModel(lightning.LightningModule):
    """Knows nothing of this package; its losses have the names that Lightning gives them."""

    def __init__(self, **options):
        super().__init__()
        self.levels = torch.nn.Embedding.from_pretrained(torch.zeros(N_USERS, 1), freeze=False)
        self.options = options or {"on_step": True, "on_epoch": True}

    def loss(self, batch):
        return ((self.levels(batch[0]).squeeze(1) - batch[2]) ** 2).mean()

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log("train_loss", loss, batch_size=len(batch[2]), **self.options)
        return loss

    def validation_step(self, batch, batch_idx):
        on_epoch = {"on_step": "on_epoch" in self.options, "on_epoch": True}
        self.log("val_loss", self.loss(batch), batch_size=len(batch[2]), **on_epoch)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


def plain_trainer(logger, max_epochs=2, **options):
    options = {"log_every_n_steps": 1, "enable_progress_bar": False, "enable_model_summary": False} | options
    return lightning.Trainer(
        max_epochs=max_epochs, logger=logger, accelerator="cpu", enable_checkpointing=False, **options
    )


@pytest.fixture(params=["ours", "mlflow", "memory"])
def any_logger(request, store):
    """Give a fresh logger of each kind."""
    if request.param == "memory":
        return DictLogger()
    return mlflow_logger("plain") if request.param == "ours" else MLFlowLogger("plain", tracking_uri=store)


@pytest.fixture
def loaders():
    return get_data_loaders(RATINGS_DF, batch_size=32)


def epochs_of(logger, **options):
    return training_logs_to_df(logger, **options).drop("loss").rows()


TWO_EPOCHS = [(1, 3, "train_loss"), (1, 3, "val_loss"), (2, 7, "train_loss"), (2, 7, "val_loss")]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_logs_of_a_plain_module_are_understood_and_no_validation_apart_from_the_fit_among_them(any_logger, loaders):
    model, trainer = PlainModel(), plain_trainer(any_logger, num_sanity_val_steps=2)
    trainer.fit(model, loaders.train, loaders.val)
    assert epochs_of(any_logger) == TWO_EPOCHS
    steps_df = step_logs_to_df(any_logger)
    assert steps_df["batch"].to_list() == list(range(8))
    logs_df = training_logs_to_df(any_logger)
    for epoch, losses in enumerate((steps_df["loss"][:4], steps_df["loss"][4:]), start=1):
        mean = sum(size * loss for size, loss in zip((32, 32, 32, 9), losses, strict=True)) / 105
        of_epoch = logs_df.filter((pl.col("epoch") == epoch) & (pl.col("dataset") == "train_loss"))["loss"]
        assert of_epoch.item() == pytest.approx(mean, rel=1e-5)

    trainer.validate(model, loaders.val, verbose=False)
    plain_trainer(any_logger).validate(model, loaders.val, verbose=False)
    assert training_logs_to_df(any_logger).equals(logs_df)
    assert step_logs_to_df(any_logger).equals(steps_df)
    if not isinstance(any_logger, DictLogger):
        assert training_logs_to_df(run_id=any_logger.run_id).equals(logs_df)
        assert step_logs_to_df(run_id=any_logger.run_id).equals(steps_df)
    assert training_logs_to_df(any_logger, name="plain")["name"].to_list() == ["plain"] * 4


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_steps_that_are_logged_now_and_then_keep_their_numbers(any_logger, loaders):
    plain_trainer(any_logger, log_every_n_steps=3).fit(PlainModel(), loaders.train, loaders.val)
    assert step_logs_to_df(any_logger)["batch"].to_list() == [2, 5]
    assert epochs_of(any_logger) == TWO_EPOCHS


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("every", "steps"), [(1, list(range(8))), (3, [2, 5])])
def test_a_train_loss_logged_by_step_alone_is_not_taken_for_an_epochs(any_logger, loaders, every, steps):
    model = PlainModel(on_step=True)  # the default in a training step
    plain_trainer(any_logger, log_every_n_steps=every).fit(model, loaders.train, loaders.val)
    assert step_logs_to_df(any_logger)["batch"].to_list() == steps
    assert epochs_of(any_logger) == [(1, 3, "val_loss"), (2, 7, "val_loss")]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_several_validations_in_an_epoch_are_rows_of_their_own(any_logger, loaders):
    plain_trainer(any_logger, val_check_interval=2).fit(PlainModel(), loaders.train, loaders.val)
    rows = [(epoch, step) for epoch, step, dataset in epochs_of(any_logger) if dataset == "val_loss"]
    assert rows == [(1, 1), (1, 3), (2, 5), (2, 7)]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_validations_before_between_and_after_fits_are_no_rows(any_logger, loaders):
    model = PlainModel()
    trainer = plain_trainer(any_logger)
    trainer.validate(model, loaders.val, verbose=False)
    trainer.fit(model, loaders.train, loaders.val)
    trainer.validate(model, loaders.val, verbose=False)
    assert epochs_of(any_logger) == TWO_EPOCHS
    plain_trainer(any_logger).validate(model, loaders.val, verbose=False)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(model, loaders.train, loaders.val)
    assert epochs_of(any_logger) == [*TWO_EPOCHS, (3, 11, "train_loss"), (3, 11, "val_loss")]
    plain_trainer(any_logger).validate(model, loaders.val, verbose=False)
    plain_trainer(any_logger).fit(model, loaders.train, loaders.val)
    assert epochs_of(any_logger) == TWO_EPOCHS


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_validation_after_each_step_is_a_row(any_logger, loaders):
    plain_trainer(any_logger, val_check_interval=1).fit(PlainModel(), loaders.train, loaders.val)
    assert [step for _, step, dataset in epochs_of(any_logger) if dataset == "val_loss"] == list(range(8))


# More than one fit in a run


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_second_fit_in_a_run_says_what_it_cannot_record_and_its_logs_count(store, loaders):
    logger, first, second = mlflow_logger("twice"), DictLogger(), DictLogger()
    make_trainer(3, logger=[logger, first]).fit(BiasModel(), loaders.train, loaders.val)
    with pytest.warns(UserWarning) as said:
        make_trainer(2, logger=[logger, second]).fit(BiasModel(learning_rate=0.1), loaders.train, loaders.val)
    said = [str(warning.message) for warning in said]
    assert any(f"run {logger.run_id} was trained before and keeps learning_rate=0.05, not 0.1; give" in s for s in said)
    assert any("keeps max_epochs=3, not 2; give each fit a logger of its own" in s for s in said)
    assert any(
        "was trained to step 11 and goes on from step 0: its logs as frames show what came last" in s for s in said
    )
    assert training_logs_to_df(logger).equals(training_logs_to_df(second))
    assert step_logs_to_df(logger).equals(step_logs_to_df(second))
    history = MlflowClient(store).get_metric_history(logger.run_id, "train_loss_step")
    assert len(history) == 12 + 8  # of the first fit, too, nothing is lost
    assert MlflowClient(store).get_run(logger.run_id).info.status == "FINISHED"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make_logger", [DictLogger, lambda: mlflow_logger("resumed")])
def test_a_resumed_fit_goes_on_in_its_run(tmp_path, loaders, make_logger):
    whole, logger = DictLogger(), make_logger()
    options = {
        "logger": [whole],
        "callbacks": ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=6, save_top_k=-1),
    }
    make_trainer(3, **options).fit(BiasModel(), loaders.train, loaders.val)
    make_trainer(2, logger=logger).fit(BiasModel(), loaders.train, loaders.val)  # breaks off after step 8
    make_trainer(3, logger=logger).fit(BiasModel(), loaders.train, loaders.val, ckpt_path=tmp_path / "step=6.ckpt")
    assert step_logs_to_df(logger)["batch"].to_list() == list(range(12))
    assert epochs_of(logger) == epochs_of(whole)


# Names and numbers


def test_runs_keep_apart_what_is_called_alike(store):
    client = MlflowClient(store)
    logger = mlflow_logger(
        "alike", seconds="7", status="odd", run_id="x", val_loss="p", param_seconds=1, best_test_loss=2
    )
    logger.log_metrics({"val_loss": 0.5, "seconds": 3.0, "test_loss": 4.0}, step=1)
    logger.finalize("success")
    (row,) = runs_to_df().filter(pl.col("run_id") == logger.run_id).iter_rows(named=True)
    assert (row["run_id"], row["status"]) == (logger.run_id, "FINISHED")
    assert 0 < row["seconds"] < 60
    assert (row["param_seconds"], row["param_status"], row["param_run_id"]) == (7, "odd", "x")
    assert row["param_param_seconds"] == 1
    assert (row["val_loss"], row["metric_val_loss"], row["best_val_loss"]) == ("p", 0.5, 0.5)
    assert row["metric_seconds"] == 3.0
    assert (row["test_loss"], row["best_test_loss"], row["metric_best_test_loss"]) == (4.0, 2, 4.0)
    client.delete_run(logger.run_id)


def test_infinities_come_back_as_such_and_nan_as_nan(store):
    logger = mlflow_logger("infinite")
    for step, loss in enumerate((math.inf, 2.0, -math.inf, math.nan)):
        logger.log_metrics({"train_loss_step": loss, "train_loss": loss, "epoch": step}, step=step)
    logger.finalize("success")
    for losses in (step_logs_to_df(logger.run_id)["loss"], training_logs_to_df(logger.run_id)["loss"]):
        assert losses[:3].to_list() == [math.inf, 2.0, -math.inf]
        assert math.isnan(losses[3])
    (row,) = runs_to_df().filter(pl.col("run_id") == logger.run_id).iter_rows(named=True)
    assert (math.isnan(row["train_loss"]), row["best_train_loss"]) == (True, -math.inf)


# A server that goes away


class Server:
    """MLflow's server on a port of its own, to be killed and started again."""

    def __init__(self, folder):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.port = unused.getsockname()[1]
        self.folder, self.uri = folder, f"http://127.0.0.1:{self.port}"

    def start(self, *_):
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--artifacts-destination", self.folder]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1", *store],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(3000):
            with suppress(requests.RequestException):
                return requests.get(f"{self.uri}/health", timeout=5).raise_for_status()
            time.sleep(0.1)
        raise AssertionError("the server does not start")

    def kill(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


class At(Callback):
    """Does something after a step."""

    def __init__(self, **actions):
        self.actions = actions

    def on_train_batch_end(self, trainer, *_):
        self.actions.get(f"step_{trainer.global_step}", lambda: None)()


@pytest.mark.parametrize("comes_back", ["in mid-fit", "after the fit"])
def test_a_server_killed_in_mid_fit_does_not_end_it_and_no_metric_is_lost(server, monkeypatch, loaders, comes_back):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setattr(tracking, "_BATCH", 4)
    logger, memory, restarts = mlflow_logger("survivor", file=Path("x")), DictLogger(), comes_back == "in mid-fit"
    actions = At(step_5=server.kill) if not restarts else At(step_5=server.kill, step_16=server.start)
    with pytest.warns(
        UserWarning, match=rf"does not take run {logger.run_id} .*send_kept_runs\(\) writes them"
    ) as said:
        trainer = make_trainer(5, logger=[logger, memory], callbacks=actions)
        trainer.fit(BiasModel(), loaders.train, loaders.val)
    assert trainer.global_step == 20
    assert len([w for w in said if "send_kept" in str(w.message)]) <= 2  # when it begins, and at the end
    (file,) = {
        str(re.search(r"metrics are in (\S+\.json);", str(w.message))[1]) for w in said if "send_kept" in str(w.message)
    }
    assert Path(file).exists() != restarts
    if not restarts:
        with pytest.raises(ConnectionError):
            send_kept_runs()
        server.start()
        assert send_kept_runs() == [logger.run_id]
        assert not Path(file).exists()
    assert send_kept_runs() == []
    assert step_logs_to_df(logger.run_id).equals(step_logs_to_df(memory))
    assert training_logs_to_df(logger.run_id).equals(training_logs_to_df(memory))
    (row,) = runs_to_df().iter_rows(named=True) if restarts else runs_to_df().tail(1).iter_rows(named=True)
    assert (row["status"], row["run_id"], row["max_epochs"]) == ("FINISHED", logger.run_id, 5)


def test_a_store_and_a_data_folder_that_both_break_leave_the_metrics_in_memory(tmp_path, monkeypatch, loaders):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    logger = mlflow_logger("broken", folder=tmp_path, nested={"k": 1})
    whole = (tmp_path / "mlflow.db").read_bytes()
    (tmp_path / "mlflow.db").write_bytes(b"no database " * 1000)
    monkeypatch.setenv("MOVIELENS_DATA_DIR", str(tmp_path / "mlflow.db"))
    with pytest.warns(
        UserWarning, match=r"8 metrics stay in memory \(cannot write to the data folder .*flush\(\) of its"
    ):
        make_trainer(1, logger=logger).fit(BiasModel(), loaders.train, loaders.val)
    (tmp_path / "mlflow.db").write_bytes(whole)
    gc.collect()  # and with it the trainer, which nobody holds any more
    with pytest.warns(UserWarning, match=r"run \w+ ends without its checkpoint: its trainer is gone"):
        logger.flush()
    assert step_logs_to_df(logger.run_id)["batch"].to_list() == [0, 1, 2, 3]
    assert runs_to_df()["status"].to_list() == ["FINISHED"]
