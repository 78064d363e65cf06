"""Runs and their metrics: into MLflow without slowing the fit, and back as frames."""

import json
import math
import sys
import warnings
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from importlib.metadata import version

import polars as pl
import requests
from lightning_fabric.utilities.logger import _convert_params, _flatten_dict
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.loggers.logger import DummyLogger, Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from utilities.settings import data_folder, package_version, redact, settings
from utilities.store import EXPERIMENT, open_experiment, process_tags, tracking_client

_BATCH, _PARAMS = 1000, 100  # the most metrics and parameters that MLflow takes in one call
_TEXT = 6000  # characters of a parameter
_PATIENCE = 5  # seconds that a server may take to answer
_KEPT = "kept_runs"
_TRAIN, _VAL = ["train_loss_epoch", "train_loss"], ["val_loss_epoch", "val_loss"]  # Lightning's name first
_RUN_SCHEMA = {
    "run_id": pl.String,
    "run_name": pl.String,
    "status": pl.String,
    "start_time": pl.Int64,
    "seconds": pl.Float64,
}


class DictLogger(Logger):
    """Keep every metric in memory, for fits that leave no run behind.

    Attributes:
        calls: What was logged, call by call: (step, name of a metric → value).
        params: The hyper-parameters.
    """

    def __init__(self):
        """Start empty."""
        super().__init__()
        self.calls: list[tuple[int, dict[str, float]]] = []
        self.params: dict = {}

    @property
    def metrics(self) -> dict[str, list[tuple[int, float]]]:
        """Give the (step, value) pairs of each metric."""
        metrics = {}
        for step, values in self.calls:
            for name, value in values.items():
                metrics.setdefault(name, []).append((step, value))
        return metrics

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
        self.calls.append((step or 0, dict(metrics)))


class BatchedMLFlowLogger(MLFlowLogger):
    """An `MLFlowLogger` that hands metrics over a thousand at a time, and that no store can break a fit with.

    A call to MLflow's store takes milliseconds, longer than a training step. What is held back is written when the fit
    ends, also when it fails or is interrupted, since Lightning finalizes its loggers then; or by `flush`. What the store
    does not take is kept in a file and tried again with what comes next; `send_kept_runs` writes what is left.
    """

    def __init__(self, *args, **kwargs):
        """Take the arguments of `MLFlowLogger`, and make the run."""
        super().__init__(*args, **kwargs)
        self._kept = {"run_id": self.run_id, "status": None, "params": {}, "metrics": []}  # what is not written yet
        self._next_flush, self._last_step, self._file, self._said = _BATCH, -1, None, False

    @rank_zero_only
    def log_hyperparams(self, params: Mapping | Namespace) -> None:
        """Write parameters; of rows that a loader has described, MLflow's own dataset input, too."""
        params = _flatten_dict(_convert_params(params))
        self._kept["params"] |= {name: str(value)[:_TEXT] for name, value in params.items()}
        self.flush()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hold metrics back until there are enough of them for a call."""
        now, step = int(datetime.now().timestamp() * 1000), step or 0
        self._kept["metrics"].extend((name, float(value), now, step) for name, value in metrics.items())
        if "train_loss_step" in metrics:
            if step < self._last_step:
                warnings.warn(
                    f"run {self.run_id} was trained to step {self._last_step} and goes on from step {step}: its logs as "
                    "frames show what came last; give each fit a logger of its own",
                    stacklevel=2,
                )
            self._last_step = step
        if len(self._kept["metrics"]) >= self._next_flush:
            self.flush()

    def _end(self, status: str) -> None:
        """End the run with its checkpoint; without, where the trainer that has kept the file is gone."""
        try:
            bool(self._checkpoint_callback)
        except ReferenceError:
            warnings.warn(f"run {self.run_id} ends without its checkpoint: its trainer is gone", stacklevel=2)
            self._checkpoint_callback = None
        super().finalize(status)

    @rank_zero_only
    def flush(self) -> None:
        """Write what is held back, or keep it in a file and say so."""
        try:
            if self._tracking_uri.startswith("http"):
                requests.get(self._tracking_uri, timeout=_PATIENCE)  # where MLflow would try for minutes
            _send(self.experiment, self._kept, end=self._end)
        except (MlflowException, OSError) as error:
            self._next_flush = len(self._kept["metrics"]) + _BATCH
            self._keep(error)
            return
        self._next_flush, self._said = _BATCH, False
        if self._file:
            self._file.unlink(missing_ok=True)
            self._file = None

    def _keep(self, error: Exception) -> None:
        """Put what is held back into a file, and say so when that begins and when the fit ends."""
        try:
            self._file = data_folder(_KEPT) / f"{self.run_id}.json"
            self._file.write_text(json.dumps(self._kept))
            where = f"are in {self._file}; after the fit, utilities.send_kept_runs() writes them, but no checkpoint"
        except OSError as reason:
            where = f"stay in memory ({reason}); after the fit, flush() of its logger tries once more"
        if not self._said or self._kept["status"]:
            warnings.warn(
                f"MLflow's store does not take run {self.run_id} ({_first_line(error)}): training goes on, and tries again "
                f"with the metrics that come; {len(self._kept['metrics'])} metrics {where}",
                stacklevel=3,
            )
        self._said = True

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        """Write what is held back and end the run."""
        self._kept["status"] = status
        self.flush()


def send_kept_runs() -> list[str]:
    """Write what MLflow's store did not take while it was trained: parameters, metrics, and how the fit ended.

    Returns:
        The ids of the runs that are complete now.

    Raises:
        ConnectionError: The tracking server cannot be reached.
        OSError: The store's file cannot be written.
    """
    client, sent = tracking_client(), []
    for file in sorted(data_folder(_KEPT).glob("*.json")):
        kept = json.loads(file.read_text())
        end = partial(_end, client, kept["run_id"])
        try:
            _send(client, kept, end)
        except MlflowException as error:
            warnings.warn(f"{file} stays: {_first_line(error)}", stacklevel=2)
            continue
        file.unlink()
        sent.append(kept["run_id"])
    return sent


def _send(client: MlflowClient, kept: dict, end: Callable[[str], None]) -> None:
    """Write what is kept of a run, forgetting what is written."""
    run_id = kept["run_id"]
    if kept["params"]:
        _send_params(client, run_id, kept["params"])
        kept["params"] = {}
    while kept["metrics"]:
        client.log_batch(run_id, metrics=[Metric(*metric) for metric in kept["metrics"][:_BATCH]])
        del kept["metrics"][:_BATCH]
    if kept["status"]:
        end(kept["status"])
        kept["status"] = None


def _send_params(client: MlflowClient, run_id: str, params: dict[str, str]) -> None:
    """Write parameters; the store keeps the first value of each."""
    old = client.get_run(run_id).data.params
    if changed := [f"{name}={old[name]}, not {text}" for name, text in params.items() if old.get(name, text) != text]:
        warnings.warn(
            f"run {run_id} was trained before and keeps {'; '.join(changed)}; give each fit a logger of its own",
            stacklevel=2,
        )
    new = [Param(name, text) for name, text in params.items() if name not in old]
    for start in range(0, len(new), _PARAMS):
        client.log_batch(run_id, params=new[start : start + _PARAMS])
    if "rows_digest" in params:
        client.log_inputs(run_id, [_dataset_input(params)])


def _dataset_input(record: Mapping[str, str]) -> DatasetInput:
    """Say of the rows that `get_data_loaders` has described what MLflow's column Dataset shows."""
    tags = {
        name: str(record[name]) for name in ("top_movies", "dataset_sample", "split", "split_seed") if name in record
    }
    rows = Dataset(
        record["dataset"],
        record["rows_digest"],
        source_type="code",
        source=json.dumps({"tags": tags}),
        profile=json.dumps({"num_rows": int(record["n_ratings"])}),
    )
    return DatasetInput(rows, [InputTag("mlflow.data.context", "training")])


def _end(client: MlflowClient, run_id: str, status: str) -> None:
    client.set_terminated(run_id, "FAILED" if status == "failed" else "FINISHED")


def _first_line(error: Exception) -> str:
    return redact(str(error).partition("\n")[0])


def mlflow_logger(run_name: str, **parameters) -> BatchedMLFlowLogger | DummyLogger:
    """Start an MLflow run in the series' experiment.

    Of several processes that train one model, the first does; the others do not touch the store.

    Args:
        run_name: What is trained, for example `inner_product`; the run is called `<run_name>_<time>`.
        parameters: Parameters of the run, beside the versions, which are added here, the model's hyper-parameters, which
            Lightning adds, and what is trained and how, which `make_trainer` adds.

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
            "torch": version("torch"),
            "utilities": package_version(),
            **parameters,
        }
    )
    return logger


def training_logs_to_df(run_id: str | Logger, name: str | None = None) -> pl.DataFrame:
    """Turn the losses of a run's epochs into a long frame.

    Any LightningModule's logs will do that are called `train_loss` and `val_loss`. Of an epoch that was trained twice, as by
    a fit that was resumed, the later losses count; a validation apart from the fit does not.

    Args:
        run_id: An MLflow run id, or the logger of a fit: a `DictLogger` or one of MLflow's.
        name: What to call the run in a column `name`, to put frames of several runs below each other.

    Returns:
        `epoch` i64 (from 1), `batch` i64 (the training step, from 0, after which it was logged), `dataset` str (`train_loss`
        or `val_loss`), `loss` f64 (mean squared error, NaN where training diverged), and `name` str if given.

    Raises:
        ValueError: The run is unknown, or has no finished epoch.
    """
    calls = _calls(run_id, "epoch", *_TRAIN, *_VAL)
    train = ["train_loss_epoch"] if _is_by_step(calls) else _TRAIN
    rows, validated, n_seen = [], [], Counter()
    for step, values in calls:
        for dataset, names in (("val_loss", _VAL), ("train_loss", train)):
            losses = [float(values[metric]) for metric in names if metric in values]
            if not losses:
                continue
            row = (int(values.get("epoch", n_seen[dataset])) + 1, step, dataset, losses[0])
            n_seen[dataset] += 1
            if dataset == "val_loss":
                validated.append(row)
                continue
            while rows and rows[-1][0] >= row[0]:
                rows.pop()
            first = rows[-1][1] + 1 if rows else 0
            rows += [*_within_fit(validated, epoch=row[0], first=first), row]
            validated = []
    rows = rows or validated
    if not rows:
        raise ValueError(f"{_describe(run_id)} has no finished epoch: no train_loss or val_loss was logged")
    schema = {"epoch": pl.Int64, "batch": pl.Int64, "dataset": pl.String, "loss": pl.Float64}
    return _named(pl.DataFrame(rows, schema, orient="row").sort("epoch", "dataset", "batch"), name)


def step_logs_to_df(run_id: str | Logger, name: str | None = None) -> pl.DataFrame:
    """Turn the training losses of a run's steps into a frame.

    Any LightningModule's logs will do that are called `train_loss_step`, or `train_loss` where that is logged by step. Of
    steps that were trained twice the later losses count.

    Args:
        run_id: An MLflow run id, or the logger of a fit: a `DictLogger` or one of MLflow's.
        name: What to call the run in a column `name`.

    Returns:
        `batch` i64 (from 0, counted over all epochs), `loss` f64 (mean squared error), and `name` str if given.

    Raises:
        ValueError: The run is unknown, or has no steps.
    """
    calls, rows = _calls(run_id, "epoch", "train_loss_step", "train_loss", *_VAL), []
    metric = "train_loss" if _is_by_step(calls) else "train_loss_step"
    for step, values in calls:
        if metric not in values:
            continue
        while rows and rows[-1][0] >= step:
            rows.pop()
        rows.append((step, float(values[metric])))
    if not rows:
        raise ValueError(f"{_describe(run_id)} has no steps: no train_loss_step was logged")
    return _named(pl.DataFrame(rows, {"batch": pl.Int64, "loss": pl.Float64}, orient="row"), name)


def runs_to_df() -> pl.DataFrame:
    """List the runs of the series' experiment, the oldest first.

    Returns:
        One row per run: `run_id`, `run_name`, `status` (str), `start_time` (datetime, UTC), `seconds` (f64, null while it
        runs); a column for each parameter, whole numbers as i64, other numbers as f64, else str; and for each metric of
        the epochs the last value and, as `best_<metric>`, the lowest (f64, null if never logged). Where a column before it
        has the name already, a parameter's begins with `param_`, a metric's with `metric_`.

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
    params = dict.fromkeys(name for run in runs for name in run.data.params)
    metrics = dict.fromkeys(name for run in runs for name in run.data.metrics if _is_of_epochs(name))
    params = _columns(params, "param_", taken := set(_RUN_SCHEMA))
    metrics = _columns([f"{best}{name}" for name in metrics for best in ("", "best_")], "metric_", taken)
    rows = [_run_row(client, run, params, metrics) for run in runs]
    schema = _RUN_SCHEMA | dict.fromkeys(params.values(), pl.String) | dict.fromkeys(metrics.values(), pl.Float64)
    return pl.DataFrame(rows, schema).with_columns(
        pl.col("start_time").cast(pl.Datetime("ms", "UTC")), *(_typed(column, rows) for column in params.values())
    )


def _columns(names: Iterable[str], prefix: str, taken: set[str]) -> dict[str, str]:
    """Name a column for each, with the prefix where the name is taken; the names are taken then."""
    columns = {}
    for name in names:
        columns[name] = name
        while columns[name] in taken:
            columns[name] = prefix + columns[name]
        taken.add(columns[name])
    return columns


def _is_of_epochs(metric: str) -> bool:
    return metric != "epoch" and not metric.endswith("_step")


def _run_row(client: MlflowClient, run: Run, params: dict[str, str], metrics: dict[str, str]) -> dict:
    info, row = run.info, {}
    for name in filter(_is_of_epochs, run.data.metrics):
        history = sorted(client.get_metric_history(info.run_id, name), key=lambda m: (m.timestamp, m.step))
        values = [_finite_or_not(metric.value) for metric in history]
        row |= {metrics[name]: values[-1], metrics[f"best_{name}"]: min(values, key=lambda v: (v != v, v))}
    return {
        "run_id": info.run_id,
        "run_name": info.run_name,
        "status": info.status,
        "start_time": info.start_time,
        "seconds": (info.end_time - info.start_time) / 1000 if info.end_time else None,
        **{params[name]: value for name, value in run.data.params.items()},
        **row,
    }


def _typed(name: str, rows: list[dict]) -> pl.Expr:
    """Cast a column of texts to the narrowest type that takes every text."""
    texts = pl.Series([row.get(name) for row in rows], dtype=pl.String)
    for dtype in (pl.Int64, pl.Float64):
        if texts.cast(dtype, strict=False).null_count() == texts.null_count():
            return pl.col(name).cast(dtype)
    return pl.col(name)


def _calls(source: str | Logger, *names: str) -> list[tuple[int, dict[str, float]]]:
    """Give the steps and values of these metrics as they were logged together, in the order of time."""
    if isinstance(source, DictLogger):
        return source.calls
    if isinstance(source, BatchedMLFlowLogger):
        source.flush()
    logger = isinstance(source, MLFlowLogger)
    client, run_id = (source.experiment, source.run_id) if logger else (tracking_client(), source)
    try:
        logged = client.get_run(run_id).data.metrics
        histories = {name: client.get_metric_history(run_id, name) for name in names if name in logged}
    except MlflowException as error:
        raise ValueError(
            f"no run {source!r} in {redact(settings().tracking_uri)}; runs_to_df() lists the runs"
        ) from error
    calls = {}
    for name, history in histories.items():
        for metric in history:
            calls.setdefault((metric.timestamp, metric.step), {})[name] = _finite_or_not(metric.value)
    return [(step, values) for (_, step), values in sorted(calls.items(), key=lambda call: call[0])]


def _is_by_step(calls: list[tuple[int, dict[str, float]]]) -> bool:
    """Tell whether `train_loss` is a step's, as `self.log` has it by default: more of the same epoch comes after it."""
    previous = None, 0
    for step, values in calls:
        epoch = values.get("epoch")
        if epoch is None or not {"train_loss", *_VAL} & set(values):
            continue
        if epoch == previous[0] and step > previous[1]:
            return True
        if "train_loss" in values:
            previous = epoch, step
    return False


def _within_fit(rows: list[tuple], epoch: int, first: int) -> list[tuple]:
    """Take an epoch's validations, and none that came before the epoch's first step unless every step was validated."""
    by_step = {row[1]: row for row in rows if row[0] == epoch}
    steps = sorted(by_step)
    return [by_step[step] for step in steps if step != first or steps[1:2] in ([], [first + 1])]


def _finite_or_not(value: float) -> float:
    """Give infinity back, for which MLflow has the largest number."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value


def _describe(source: str | Logger) -> str:
    return f"run {source!r}" if isinstance(source, str) else f"the {type(source).__name__}"


def _named(df: pl.DataFrame, name: str | None) -> pl.DataFrame:
    return df if name is None else df.with_columns(name=pl.lit(name))
