"""What every model of the series shares: how a batch is judged, and the training around a `forward`."""

import logging
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

import polars as pl
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, ProgressBar
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader
from torchmetrics import Metric
from tqdm import tqdm

from utilities.loaders import get_data_loaders
from utilities.releases import Scale
from utilities.settings import settings
from utilities.splits import split_train_test

torch.serialization.add_safe_globals([Scale])  # a checkpoint may hold one among its hyper-parameters


class RatingModel(lightning.LightningModule):
    """A model of ratings without its architecture: subclasses add layers and `forward(user_ids, movie_ids)`.

    `forward` takes two i64 tensors of shape `[B]` and returns predicted ratings, f32 of shape `[B]`. Training minimises
    the mean squared error plus `penalty`. Logged are `train_loss`, `val_loss` and `test_loss`, the mean squared errors over
    all rows of an epoch, without the penalty, and for the loggers alone, not to be monitored, `train_loss_step`. Everything
    else is as in any `LightningModule`.
    """

    def __init__(self, learning_rate: float = 5e-3, star: float = 1.0):
        """Set Adam's step size, and what the model counts in.

        Args:
            learning_rate: Adam's.
            star: How many units of the ratings the model counts as one (`Scale.star`): what it adds up is times as much, and
                its penalty times the square, so that ratings in another unit give the same model.
        """
        super().__init__()
        self.learning_rate, self.star = learning_rate, star
        self._means = nn.ModuleDict({name: _RowMean() for name in ("train_loss", "val_loss", "test_loss")})

    def penalty(self, user_ids: Tensor, movie_ids: Tensor) -> Tensor | float:
        """Return what is added to the loss of a training batch, a scalar; 0 unless overridden."""
        return 0.0

    def mse(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the mean squared error of a batch, a scalar.

        Raises:
            IndexError: A user or movie is not in the model's tables.
            ValueError: The predictions are not of shape `[B]`.
        """
        user_ids, movie_ids, ratings = batch
        return F.mse_loss(_call(self, user_ids, movie_ids), ratings)

    def training_step(self, batch, batch_idx):
        """Return the loss of a batch, and log its error."""
        mse = self.mse(batch)
        self._log_training(mse.detach(), len(batch[-1]), batch_idx)
        return mse + self.star**2 * self.penalty(batch[0], batch[1])

    def on_train_start(self):
        """Forget an epoch that was interrupted."""
        self._means["train_loss"].reset()

    def on_validation_start(self):
        """Forget a validation that was interrupted."""
        self._means["val_loss"].reset()

    def on_test_start(self):
        """Forget a test that was interrupted."""
        self._means["test_loss"].reset()

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        """Log the mean over the rows; `val_loss` is the first loader's where there are several."""
        self._evaluate("val_loss", batch, dataloader_idx)

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        """Log the mean over the rows; `test_loss` is the first loader's where there are several."""
        self._evaluate("test_loss", batch, dataloader_idx)

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        """Return predicted ratings, f32 of shape `[B]`."""
        return _call(self, batch[0], batch[1])

    def configure_optimizers(self):
        """Use Adam, fused: one kernel a step, faster on CPUs too."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate, fused=True)

    def _evaluate(self, name: str, batch, dataloader_idx: int) -> None:
        """Add a batch to the mean of its loader, in which batches weigh by their size, and processes by theirs."""
        mse, batch_size = self.mse(batch), len(batch[-1])
        if dataloader_idx or self.fabric is not None:
            self.log(name, mse, batch_size=batch_size, sync_dist=True)
        else:
            self._add(name, mse, batch_size)

    def _add(self, name: str, mse: Tensor, batch_size: int) -> None:
        """Add a batch to an epoch's mean, as `self.log` would: a call of it costs a fifth of a step or more.

        Lightning is shown the mean once an epoch, when it is empty; from then on it computes and resets it.
        """
        mean = self._means[name]
        if not mean.update_called:
            options = {"metric_attribute": f"_means.{name}", "batch_size": batch_size, "add_dataloader_idx": False}
            self.log(name, mean, on_step=False, on_epoch=True, **options)
        mean.update(mse, batch_size)

    @torch.compiler.disable
    def _log_training(self, mse: Tensor, batch_size: int, batch_idx: int) -> None:
        """Log a step, and its part of the epoch's mean."""
        if self.fabric is not None:  # which knows no epochs
            self.log("train_loss_step", mse)
            return
        self._add("train_loss", mse, batch_size)
        if not (loggers := self.loggers) or not self.trainer.log_every_n_steps:
            return
        trainer, step = self.trainer, self.global_step
        if len(trainer.optimizers) > 1 or isinstance(trainer.optimizers[0], torch.optim.LBFGS):
            self.log("train_loss_step", mse, batch_size=batch_size)  # several optimizers or evaluations make a step
            return
        is_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if is_step and (step + 1) % trainer.log_every_n_steps == 0:
            for logger in loggers:
                logger.log_metrics({"train_loss_step": mse.item()}, step)


class _RowMean(Metric):
    """The mean over an epoch's rows, in f32 or more whatever the model's precision."""

    def __init__(self):
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("n_rows", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, mean: Tensor, n_rows: int) -> None:
        """Add a batch."""
        self.total = self.total + mean.float() * n_rows  # `+=` would keep what `model.to(torch.bfloat16)` made of it
        self.n_rows = self.n_rows + n_rows

    def compute(self) -> Tensor:
        """Give the mean."""
        return self.total / self.n_rows


def _call(model: lightning.LightningModule, user_ids: Tensor, movie_ids: Tensor) -> Tensor:
    """Predict a batch, refusing ids outside the embedding tables and predictions of another shape than `[B]`."""
    try:
        predictions = model(user_ids, movie_ids)
    except IndexError as error:
        raise IndexError(
            f"ids outside the embedding tables of {type(model).__name__}: the batch has user ids "
            f"{user_ids.min()} to {user_ids.max()} and movie ids {movie_ids.min()} to {movie_ids.max()}; "
            "build the model with the counts of the mappings"
        ) from error
    if predictions.shape != user_ids.shape:
        raise ValueError(
            f"{type(model).__name__} returned predictions of shape {list(predictions.shape)} for ratings of shape "
            f"{list(user_ids.shape)}: torch would broadcast one against the other; forward must return one value a row"
        )
    return predictions


def predict(model: lightning.LightningModule, ratings_df: pl.DataFrame, batch_size: int = 2**16) -> pl.Series:
    """Predict ratings, batch by batch and without gradients.

    Args:
        model: The model; it is left in the mode, training or evaluation, that it was in.
        ratings_df: Rows with columns `userIdMapped` and `movieIdMapped`.
        batch_size: Rows of a batch.

    Returns:
        One f32 per row, in the order of the rows.

    Raises:
        IndexError: A user or movie is not in the model's tables.
        ValueError: The model's predictions are not of shape `[B]`.
    """
    ids = (ratings_df[c].cast(pl.Int64).to_torch().split(batch_size) for c in ("userIdMapped", "movieIdMapped"))
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            batches = [_call(model, u.to(model.device), m.to(model.device)).cpu() for u, m in zip(*ids, strict=True)]
    finally:
        model.train(was_training)
    return pl.Series("prediction", torch.cat(batches).numpy(), dtype=pl.Float32)


class EarlyStoppingWithMinEpochs(EarlyStopping):
    """Early stopping with a grace period: in the first `min_epochs` epochs only a loss that is no number stops training.

    It judges when a validation ends: where nothing is validated, every epoch is trained. `Trainer(min_epochs=…)` is not the
    same: there the patience runs from the first epoch, and its verdict is only put off.
    """

    def __init__(self, min_epochs: int = 6, monitor: str = "val_loss", patience: int = 3):
        """Stop after `patience` validations without a better `monitor`, counted once `min_epochs` epochs have passed."""
        super().__init__(monitor=monitor, patience=patience, check_on_train_epoch_end=False)
        self.min_epochs = min_epochs

    def _run_early_stopping_check(self, trainer) -> None:
        loss = trainer.callback_metrics.get(self.monitor)
        if trainer.current_epoch < self.min_epochs and loss is not None and torch.isfinite(loss):
            return
        super()._run_early_stopping_check(trainer)
        if self.stopping_reason == EarlyStoppingReason.NON_FINITE_METRIC:
            rank_zero_warn(f"training stopped in epoch {trainer.current_epoch + 1}: {self.monitor} is {loss}")


class BestCheckpoint(ModelCheckpoint):
    """Keep the epoch with the lowest `val_loss`, and put its weights back into the model when the fit ends.

    The file is `best_model_path`, in a folder that lasts as long as the trainer; a run's logger keeps a copy. In a folder
    that is given, the state after each epoch is kept too, as `last.ckpt`, to resume from. Where nothing was validated, the
    model keeps its last weights.
    """

    def __init__(self, folder: Path | None = None):
        """Write to a folder, its own unless given."""
        self._keep_last = folder is not None
        if folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="checkpoint-", ignore_cleanup_errors=True)
            folder = self._folder.name
        super().__init__(
            folder, filename="best", monitor="val_loss", save_weights_only=True, enable_version_counter=False
        )

    def on_train_epoch_end(self, trainer, pl_module):
        """Save the best and, once it is known, the last."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._keep_last and not trainer.fast_dev_run:
            trainer.save_checkpoint(Path(self.dirpath, "last.ckpt"))

    def on_train_end(self, trainer, pl_module):
        """Load the best weights; in every process, from the one that wrote them."""
        super().on_train_end(trainer, pl_module)
        self.restore(trainer)

    def restore(self, trainer) -> bool:
        """Load the best weights as Lightning loads a checkpoint, and say whether there are any."""
        checkpoint, model = None, trainer.lightning_module
        if trainer.is_global_zero and self.best_model_path:  # a file of ours: hyper-parameters may be any objects
            checkpoint = trainer.strategy.load_checkpoint(self.best_model_path, weights_only=False)
        checkpoint = trainer.strategy.broadcast(checkpoint)
        if checkpoint is None:
            return False
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"], strict=model.strict_loading)
        return True

    def on_load_checkpoint(self, trainer, pl_module, checkpoint):
        """Note where the fit is resumed from."""
        self._beside = Path(trainer.ckpt_path).with_name("best.ckpt")

    def load_state_dict(self, state_dict):
        """Take the best checkpoint along into this folder: the one beside what is resumed, else the one named there."""
        own, old = Path(self.dirpath, "best.ckpt"), Path(state_dict["best_model_path"])
        source = next(filter(Path.is_file, (self._beside, old)), None)
        if state_dict["best_model_path"] and source is None:
            warnings.warn(
                f"best.ckpt is neither in {self._beside.parent} nor in {old.parent}: best is what comes", stacklevel=2
            )
            return
        if state_dict["best_model_path"] and source.resolve() != own.resolve():
            own.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, own)
        score, path = state_dict["best_model_score"], str(own) if state_dict["best_model_path"] else ""
        moved = {"dirpath": self.dirpath, "best_model_path": path, "kth_best_model_path": path}
        super().load_state_dict(state_dict | moved | {"best_k_models": {path: score} if path else {}})


class FitProgressBar(ProgressBar):
    """One bar for the whole fit, counting steps, with the last losses beside it."""

    def __init__(self):
        """Show the bar."""
        super().__init__()
        self._disable, self._bar = False, None

    def disable(self):
        """Draw nothing: another process does."""
        self._disable = True

    def enable(self):
        """Draw again."""
        self._disable = False

    def on_train_start(self, trainer, pl_module):
        """Draw the bar."""
        total = trainer.estimated_stepping_batches
        self._bar = tqdm(
            desc=type(pl_module).__name__,
            total=total if total != float("inf") else None,
            initial=trainer.global_step,
            file=sys.stdout,
            unit="step",
            ncols=100,
            mininterval=0.2,
            disable=self._disable,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps [{elapsed}{postfix}]",
        )

    def on_train_batch_end(self, trainer, *args):
        """Advance the bar to the steps done."""
        self._bar.update(trainer.global_step - self._bar.n)

    def on_train_epoch_end(self, trainer, pl_module):
        """Show the epoch, its validation loss, and what was logged with `prog_bar=True`."""
        metrics = {"val_loss": trainer.callback_metrics.get("val_loss", float("nan"))} | trainer.progress_bar_metrics
        metrics = {name: f"{value:.3f}" for name, value in metrics.items()}
        self._bar.set_postfix(epoch=trainer.current_epoch + 1, **metrics, refresh=False)

    def on_train_end(self, trainer, pl_module):
        """Leave the bar where the fit ended."""
        self._close()

    def on_exception(self, trainer, pl_module, exception):
        """Leave the bar where the fit broke off."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None  # it holds the output's stream, which cannot be copied


class RunRecord(Callback):
    """Tell the loggers what is trained: the rows, as their loader knows them, the model's size and the trainer's options."""

    def __init__(self, **options):
        """Take the options to be logged; what is neither a number nor a text as a text."""
        self._options = {k: v if isinstance(v, str | int | float) else str(v) for k, v in options.items()}

    def on_train_start(self, trainer, pl_module):
        """Log the parameters of the run."""
        lazy = any(map(is_lazy, pl_module.parameters()))  # has no size before the first batch
        parameters = {} if lazy else {"n_parameters": sum(p.numel() for p in pl_module.parameters())}
        loader = trainer.train_dataloader
        if isinstance(loader, DataLoader):
            batch_size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
            parameters |= {"batch_size": batch_size} if batch_size else {}
            parameters |= {"n_train_ratings": len(loader.dataset)} if hasattr(loader.dataset, "__len__") else {}
            parameters |= getattr(loader.dataset, "record", {})
        for logger in trainer.loggers:
            logger.log_hyperparams(parameters | self._options)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Lightning says of every fit, and what it warns of that is meant to be so."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*LeafSpec.*deprecated.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _quietly(entry: Callable) -> Callable:
    """Wrap an entry of Lightning's `Trainer`: quiet, and `KeyboardInterrupt` when interrupted, not `SystemExit: 1`."""

    @wraps(entry)
    def wrapped(self, *args, **kwargs):
        handler = signal.getsignal(signal.SIGINT)
        try:
            with _quiet():
                return entry(self, *args, **kwargs)
        except SystemExit as error:
            interruption = error.__context__
            if not isinstance(interruption, KeyboardInterrupt):
                raise
            if self.state.fn == TrainerFn.FITTING:
                interruption.args = (_keep_best(self),)
            signal.signal(signal.SIGINT, handler)  # Lightning has it ignored
            raise interruption from None

    return wrapped


def _keep_best(trainer: lightning.Trainer) -> str:
    """Give the model of an interrupted fit its best weights, now that all callbacks have seen the last; say so."""
    best, kept = trainer.checkpoint_callback, "its last weights"
    if trainer.world_size == 1 and isinstance(best, BestCheckpoint) and best.restore(trainer):
        kept = f"the best weights so far, val_loss {best.best_model_score:.3f}"
    return f"training interrupted in epoch {trainer.current_epoch + 1}; the model has {kept}"


class _Trainer(lightning.Trainer):
    """Lightning's `Trainer` for notebooks."""

    fit = _quietly(lightning.Trainer.fit)
    validate = _quietly(lightning.Trainer.validate)
    test = _quietly(lightning.Trainer.test)
    predict = _quietly(lightning.Trainer.predict)


def make_trainer(
    max_epochs: int = 40,
    *,
    logger=False,
    min_epochs: int = 6,
    patience: int = 3,
    checkpoint_folder: Path | None = None,
    callbacks: Callback | Sequence[Callback] = (),
    **trainer_options,
) -> lightning.Trainer:
    """Set up a `Trainer` for a notebook: one progress bar a fit, early stopping, and the best epoch kept.

    After `trainer.fit` the model has the weights of the epoch with the lowest `val_loss`, so whatever evaluates it
    evaluates those; the file is `trainer.checkpoint_callback.best_model_path` while the trainer lives. Without a validation
    all epochs are trained and the last weights stay.

    Args:
        max_epochs: Epochs at most.
        logger: `mlflow_logger(…)`, a `DictLogger`, any other of Lightning's, or False for none. Every step is logged unless
            `log_every_n_steps` is given.
        min_epochs: Epochs before early stopping begins to judge.
        patience: Validations without a lower `val_loss` after which training stops.
        checkpoint_folder: Where to keep `best.ckpt` and `last.ckpt`, the state after the last epoch, from which
            `trainer.fit(…, ckpt_path=…)` resumes; all processes must see it. A temporary folder without the latter
            unless given.
        callbacks: Callbacks beside those for early stopping, the best epoch, the bar (unless one of them is a bar) and the
            record of the run.
        trainer_options: Any other argument of Lightning's `Trainer`; with `enable_checkpointing=False` the last weights
            stay.

    Returns:
        The trainer, on the device of the setting `MOVIELENS_ACCELERATOR`: a GPU where there is one, else the CPU.
    """
    callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
    options = {
        "accelerator": settings().accelerator,
        "devices": 1,
        "enable_progress_bar": True,
        "enable_checkpointing": True,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
    } | trainer_options
    record = {"max_epochs": max_epochs, "min_epochs": min_epochs, "patience": patience}
    ours = [EarlyStoppingWithMinEpochs(min_epochs, patience=patience), RunRecord(**record | trainer_options)]
    if options["enable_checkpointing"]:
        ours.append(BestCheckpoint(checkpoint_folder))
    if options["enable_progress_bar"] and not any(isinstance(callback, ProgressBar) for callback in callbacks):
        ours.append(FitProgressBar())
    with _quiet():
        return _Trainer(max_epochs=max_epochs, logger=logger, callbacks=ours + callbacks, **options)


def train_model(
    build: Callable[[], lightning.LightningModule],
    ratings_df: pl.DataFrame,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    sample: int | None = None,
    split: Callable = split_train_test,
    **trainer_options,
) -> tuple[lightning.LightningModule, lightning.Trainer]:
    """Seed, split, build, train: the same call gives the same model.

    Args:
        build: Makes the model; called after seeding, so that its first weights repeat too.
        ratings_df: As for `get_data_loaders`.
        seed: Seed of the first weights, the order of the rows, and dropout.
        batch_size: As for `get_data_loaders`.
        sample: As for `get_data_loaders`.
        split: As for `get_data_loaders`.
        trainer_options: Arguments of `make_trainer`.

    Returns:
        The model with the weights of its best epoch, and the trainer.
    """
    lightning.seed_everything(seed, verbose=False)
    loaders = get_data_loaders(ratings_df, batch_size=batch_size, sample=sample, split=split)
    model = build()
    trainer = make_trainer(**trainer_options)
    for logger in trainer.loggers:
        logger.log_hyperparams({"seed": seed})
    trainer.fit(model, loaders.train, loaders.val)
    return model, trainer
