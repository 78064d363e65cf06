"""Runs and their metrics: into MLflow without slowing the fit, and back as frames."""

import logging
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version

import polars as pl
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.loggers.logger import DummyLogger, Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from utilities.settings import settings
from utilities.splits import SPLIT_SEED
from utilities.store import EXPERIMENT, open_experiment, process_tags, tracking_client

_BATCH = 1000  # the most metrics that MLflow takes in one call

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)


class DictLogger(Logger):
    """Keep every metric in memory, for fits that leave no run behind.

    Attributes:
        metrics: Name of a metric → list of (step, value).
        params: The hyper-parameters.
    """

    def __init__(self):
        """Start empty."""
        super().__init__()
        self.metrics: dict[str, list[tuple[int, float]]] = {}
        self.params: dict = {}

    @property
    def name(self):
        """The logger's name, which Lightning asks for."""
        return "dict"

    @property
    def version(self):
        """The logger's version, which Lightning asks for."""
        return 0

    @rank_zero_only
    def log_hyperparams(self, params, *args, **kwargs):
        """Keep hyper-parameters."""
        self.params |= dict(params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None):
        """Keep metrics."""
        for name, value in metrics.items():
            self.metrics.setdefault(name, []).append((step or 0, value))


class BatchedMLFlowLogger(MLFlowLogger):
    """An `MLFlowLogger` that hands metrics over a thousand at a time.

    A call to MLflow's store takes milliseconds, longer than a training step. What is held back is written when the fit
    ends, also when it fails or is interrupted, since Lightning finalizes its loggers then; or by `flush`.
    """

    def __init__(self, *args, **kwargs):
        """Take the arguments of `MLFlowLogger`."""
        super().__init__(*args, **kwargs)
        self._pending: list[tuple[str, float, int, int]] = []

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hold metrics back until there are enough of them for a call."""
        now = int(datetime.now().timestamp() * 1000)
        self._pending.extend((name, value, now, step or 0) for name, value in metrics.items())
        if len(self._pending) >= _BATCH:
            self.flush()

    @rank_zero_only
    def flush(self) -> None:
        """Write the metrics held back."""
        while self._pending:
            batch = self._pending[:_BATCH]
            metrics = [Metric(name, float(value), time, step) for name, value, time, step in batch]
            self.experiment.log_batch(self.run_id, metrics=metrics)
            del self._pending[:_BATCH]

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Write the metrics held back and end the run."""
        self.flush()
        super().finalize(status)


def mlflow_logger(run_name: str, **parameters) -> BatchedMLFlowLogger | DummyLogger:
    """Start an MLflow run in the series' experiment.

    Of several processes that train one model, the first does; the others do not touch the store.

    Args:
        run_name: What is trained, for example `inner_product`; the run is called `<run_name>_<time>`.
        parameters: Parameters of the run, beside the dataset, the split and the versions, which are added here, and the
            model's hyper-parameters, which Lightning adds.

    Returns:
        A logger for `make_trainer`. The best checkpoint becomes an artifact of the run. In all processes but the first, a
        logger that does nothing.

    Raises:
        ConnectionError: The tracking server cannot be reached; the message names it.
        OSError: The store's file cannot be written; the message names it.
    """
    if rank_zero_only.rank > 0:
        return DummyLogger()
    config = settings()
    open_experiment()
    logger = BatchedMLFlowLogger(
        EXPERIMENT,
        run_name=f"{run_name}_{datetime.now():%Y-%m-%d_%H-%M-%S}",
        tracking_uri=config.tracking_uri,
        tags=process_tags(),
        log_model=True,
    )
    logger.log_hyperparams(
        {
            "model": run_name,
            "dataset": config.dataset,
            "top_movies": config.top_movies or "all",
            "sample": config.sample or "all",
            "split_seed": SPLIT_SEED,
            "torch": version("torch"),
            "utilities": version("movielens-notebook-course"),
            **parameters,
        }
    )
    return logger


def training_logs_to_df(source: str | DictLogger, name: str | None = None) -> pl.DataFrame:
    """Turn the losses of a run's epochs into a long frame.

    Args:
        source: An MLflow run id, or the `DictLogger` of a fit.
        name: What to call the run in a column `name`, to put frames of several runs below each other.

    Returns:
        `epoch` i64 (from 1), `batch` i64 (training steps done before), `dataset` str (`train_loss` or `val_loss`), `loss`
        f64 (stars², NaN where training diverged), and `name` str if given.

    Raises:
        ValueError: The run is unknown, or has no finished epoch.
    """
    epoch_of = {step: int(epoch) + 1 for step, epoch in _history(source, "epoch")}
    rows = [
        (epoch_of[step], step, dataset, float(loss))
        for dataset in ("train_loss", "val_loss")
        for step, loss in _history(source, dataset)
    ]
    if not rows:
        raise ValueError(f"{_describe(source)} has no finished epoch: no train_loss or val_loss was logged")
    schema = {"epoch": pl.Int64, "batch": pl.Int64, "dataset": pl.String, "loss": pl.Float64}
    return _named(pl.DataFrame(rows, schema, orient="row").sort("epoch", "dataset"), name)


def step_logs_to_df(source: str | DictLogger, name: str | None = None) -> pl.DataFrame:
    """Turn the training losses of a run's steps into a frame.

    Args:
        source: An MLflow run id, or the `DictLogger` of a fit.
        name: What to call the run in a column `name`.

    Returns:
        `batch` i64 (from 0, counted over all epochs), `loss` f64 (stars²), and `name` str if given.

    Raises:
        ValueError: The run is unknown, or has no steps.
    """
    rows = [(step, float(loss)) for step, loss in _history(source, "train_loss_step")]
    if not rows:
        raise ValueError(f"{_describe(source)} has no steps: no train_loss_step was logged")
    schema = {"batch": pl.Int64, "loss": pl.Float64}
    return _named(pl.DataFrame(rows, schema, orient="row").sort("batch"), name)


def runs_to_df() -> pl.DataFrame:
    """List the runs of the series' experiment, the oldest first.

    Returns:
        One row per run: `run_id`, `run_name`, `status` (str), `start_time` (datetime, UTC), `seconds` (f64, null while it
        runs); a column for each parameter, whole numbers as i64, other numbers as f64, else str; and for each metric of
        the epochs the last value and, as `best_<metric>`, the lowest (f64, null if never logged).

    Raises:
        ConnectionError: The tracking server cannot be reached.
    """
    client = tracking_client()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs, token = [], None
    while experiment is not None:
        page = client.search_runs([experiment.experiment_id], page_token=token, order_by=["attributes.start_time ASC"])
        runs, token = [*runs, *page], page.token
        if not token:
            break
    schema = {
        "run_id": pl.String,
        "run_name": pl.String,
        "status": pl.String,
        "start_time": pl.Int64,
        "seconds": pl.Float64,
    }
    rows = [_run_row(client, run) for run in runs]
    names = dict.fromkeys(name for row in rows for name in row if name not in schema)
    parameters = [name for name in names if any(isinstance(row.get(name), str) for row in rows)]
    schema |= {name: pl.String if name in parameters else pl.Float64 for name in names}
    return pl.DataFrame(rows, schema).with_columns(
        pl.col("start_time").cast(pl.Datetime("ms", "UTC")), *(_typed(name, rows) for name in parameters)
    )


def _run_row(client: MlflowClient, run) -> dict:
    info, metrics = run.info, {}
    for name in run.data.metrics:
        if name == "epoch" or name.endswith("_step"):
            continue
        values = [m.value for m in sorted(client.get_metric_history(info.run_id, name), key=lambda m: m.step)]
        metrics |= {name: values[-1], f"best_{name}": min(values, key=lambda v: (v != v, v))}
    return {
        "run_id": info.run_id,
        "run_name": info.run_name,
        "status": info.status,
        "start_time": info.start_time,
        "seconds": (info.end_time - info.start_time) / 1000 if info.end_time else None,
        **run.data.params,
        **metrics,
    }


def _typed(name: str, rows: list[dict]) -> pl.Expr:
    """Cast a column of texts to the narrowest type that takes every text."""
    texts = pl.Series([row.get(name) for row in rows], dtype=pl.String)
    for dtype in (pl.Int64, pl.Float64):
        if texts.cast(dtype, strict=False).null_count() == texts.null_count():
            return pl.col(name).cast(dtype)
    return pl.col(name)


def _history(source: str | DictLogger, metric: str) -> list[tuple[int, float]]:
    """Give the (step, value) pairs of a metric."""
    if isinstance(source, DictLogger):
        return source.metrics.get(metric, [])
    client = tracking_client()
    try:
        client.get_run(source)  # the history of an unknown run would be empty
        return [(m.step, m.value) for m in client.get_metric_history(source, metric)]
    except MlflowException as error:
        raise ValueError(f"no run {source!r} in {settings().tracking_uri}; runs_to_df() lists the runs") from error


def _describe(source: str | DictLogger) -> str:
    return "the DictLogger" if isinstance(source, DictLogger) else f"run {source!r}"


def _named(df: pl.DataFrame, name: str | None) -> pl.DataFrame:
    return df if name is None else df.with_columns(name=pl.lit(name))
