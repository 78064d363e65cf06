"""What every model of the series shares: the training loop around a `forward`."""

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import polars as pl
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from utilities.loaders import get_data_loaders
from utilities.splits import split_train_test

STEPS_A_CALL = 100  # between two turns of Lightning: its hooks, the progress bar


class RatingModel(lightning.LightningModule):
    """A model of ratings without its architecture: subclasses add layers and `forward(user_ids, movie_ids)`.

    `forward` takes two i64 tensors of shape `[B]` and returns predictions in stars, f32 of shape `[B]`. The loss is the
    mean squared error plus `penalty`. Logged are `train_loss_step` for every batch, and `train_loss`, `val_loss` and
    `test_loss`, the mean squared errors over all rows of an epoch, without the penalty.
    """

    def __init__(self, learning_rate: float = 5e-3):
        """Set Adam's step size."""
        super().__init__()
        self.learning_rate = learning_rate
        self.automatic_optimization = False
        self._reset()

    def penalty(self, user_ids: Tensor, movie_ids: Tensor) -> Tensor | float:
        """Return what is added to the loss of a training batch, a scalar in stars²; 0 unless overridden."""
        return 0.0

    def loss(self, batch) -> Tensor:
        """Return the loss of a training batch, a scalar in stars²."""
        user_ids, movie_ids, _ = batch
        mse = self._mse(batch, "train")
        self._log({"train_loss_step": mse.detach()})
        return mse + self.penalty(user_ids, movie_ids)

    def training_step(self, dataloader_iter):
        """Train on the next `STEPS_A_CALL` batches: each call costs time in Lightning, whatever it trains on."""
        optimizer = self.optimizers()
        for batch, _, _ in islice(dataloader_iter, STEPS_A_CALL):
            loss = self.loss([column.to(self.device) for column in batch])
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    def validation_step(self, batch, batch_idx):
        """Take note of the error of a batch."""
        self._mse(batch, "val")

    def test_step(self, batch, batch_idx):
        """Take note of the error of a batch."""
        self._mse(batch, "test")

    def on_fit_start(self):
        """Add to the run's parameters what only the fit knows."""
        loader = self.trainer.fit_loop._data_source.instance
        parameters = {
            "batch_size": loader.batch_sampler.batch_size,
            "n_train_ratings": len(loader.dataset),
            "n_parameters": sum(p.numel() for p in self.parameters()),
            "max_epochs": self.trainer.max_epochs,
        }
        for logger in self.loggers:
            logger.log_hyperparams(parameters)

    def on_train_epoch_start(self):
        """Forget an epoch that was interrupted."""
        self._reset()

    def on_train_epoch_end(self):
        """Log `train_loss`."""
        self._log_epoch("train")

    def on_validation_epoch_end(self):
        """Log `val_loss`."""
        self._log_epoch("val")

    def on_test_epoch_end(self):
        """Log `test_loss`."""
        self.log("test_loss", self._mean("test"))

    def configure_optimizers(self):
        """Use Adam, fused: one kernel a step, faster on CPUs too."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate, fused=True)

    def _mse(self, batch, stage: str) -> Tensor:
        user_ids, movie_ids, ratings = batch
        predictions = _call(self, user_ids, movie_ids)
        mse = F.mse_loss(predictions, ratings)
        self._squares[stage] = self._squares[stage] + mse.detach().double() * len(ratings)
        self._rows[stage] += len(ratings)
        return mse

    def _log_epoch(self, stage: str) -> None:
        """Give the epoch's mean to the callbacks and, with the step it belongs to, to the loggers."""
        name, mse = f"{stage}_loss", self._mean(stage)
        self.log(name, mse, logger=False, batch_size=1)
        self._log({name: mse, "epoch": self.current_epoch})

    def _mean(self, stage: str) -> Tensor:
        """Average over the rows seen: batches weigh by their size, and processes by theirs."""
        totals = torch.stack([self._squares[stage], self._squares[stage].new_tensor(self._rows[stage])])
        squares, n_rows = self.all_gather(totals).reshape(-1, 2).sum(0)
        self._squares[stage], self._rows[stage] = 0.0, 0
        return squares / n_rows

    def _log(self, metrics: dict[str, float | Tensor]) -> None:
        """Write to the loggers; `self.log` takes as long as a step, and counts calls instead of steps."""
        for logger in self.loggers:
            logger.log_metrics(metrics, step=self.global_step)

    def _reset(self) -> None:
        """Start to add up squared errors and rows anew."""
        self._squares = {"train": 0.0, "val": 0.0, "test": 0.0}
        self._rows = {"train": 0, "val": 0, "test": 0}


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
        One f32 per row, in the order of the rows, in stars.

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
    """Early stopping with a grace period: the first `min_epochs` epochs are not looked at.

    `Trainer(min_epochs=…)` is not the same: there the patience runs from the first epoch, and its verdict is only put off.
    """

    def __init__(self, min_epochs: int = 6, monitor: str = "val_loss", patience: int = 3):
        """Stop after `patience` epochs without a better `monitor`, counted once `min_epochs` have passed."""
        super().__init__(monitor=monitor, patience=patience)
        self.min_epochs = min_epochs

    def _should_skip_check(self, trainer) -> bool:
        return trainer.current_epoch < self.min_epochs or super()._should_skip_check(trainer)


class BestCheckpoint(ModelCheckpoint):
    """Keep the epoch with the lowest `val_loss`, and put its weights back into the model when the fit ends.

    The file is `best_model_path`, in a folder that lasts as long as the trainer; a run's logger keeps a copy. In a folder
    that is given, the state after each epoch is kept too, as `last.ckpt`, to resume from.
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
        if self._keep_last:
            trainer.save_checkpoint(Path(self.dirpath, "last.ckpt"))

    def on_fit_end(self, trainer, pl_module):
        """Load the best weights; in every process, from the one that wrote them."""
        best = torch.load(self.best_model_path, weights_only=True) if trainer.is_global_zero else None
        pl_module.load_state_dict(trainer.strategy.broadcast(best)["state_dict"])


class FitProgressBar(Callback):
    """One bar for the whole fit, counting steps, with the last losses beside it."""

    def on_train_start(self, trainer, pl_module):
        """Draw the bar."""
        self._bar = tqdm(
            desc=type(pl_module).__name__,
            total=trainer.max_epochs * trainer.num_training_batches,
            file=sys.stdout,
            unit="step",
            ncols=100,
            mininterval=0.2,
            disable=not trainer.is_global_zero,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps [{elapsed}{postfix}]",
        )

    def on_train_batch_end(self, trainer, *args):
        """Advance the bar to the steps done."""
        self._bar.update(trainer.global_step - self._bar.n)

    def on_train_epoch_end(self, trainer, pl_module):
        """Show the epoch and its validation loss."""
        val_loss = trainer.callback_metrics.get("val_loss", float("nan"))
        self._bar.set_postfix(epoch=trainer.current_epoch + 1, val_loss=f"{val_loss:.3f}", refresh=False)

    def on_train_end(self, trainer, pl_module):
        """Leave the bar where the fit ended."""
        self._bar.close()

    def on_exception(self, trainer, pl_module, exception):
        """Leave the bar where the fit broke off."""
        if hasattr(self, "_bar"):
            self._bar.close()


def make_trainer(
    max_epochs: int = 40,
    *,
    logger=False,
    min_epochs: int = 6,
    patience: int = 3,
    checkpoint_folder: Path | None = None,
    **trainer_options,
) -> lightning.Trainer:
    """Set up a `Trainer` for a notebook: one progress bar a fit, early stopping, and the best epoch kept.

    After `trainer.fit` the model has the weights of the epoch with the lowest `val_loss`, so whatever evaluates it
    evaluates those; the file is `trainer.checkpoint_callback.best_model_path` while the trainer lives.

    Args:
        max_epochs: Epochs at most.
        logger: `mlflow_logger(…)`, a `DictLogger`, or False for none.
        min_epochs: Epochs before early stopping begins to judge.
        patience: Epochs without a lower `val_loss` after which training stops.
        checkpoint_folder: Where to keep `best.ckpt` and `last.ckpt`, the state after the last epoch, from which
            `trainer.fit(…, ckpt_path=…)` resumes; all processes must see it. A temporary folder without the latter
            unless given.
        trainer_options: Any other argument of Lightning's `Trainer`.

    Returns:
        The trainer, on a CUDA device where there is one, else on the CPU.
    """
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*dataloader_iter.*")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*deprecated.*")
    options = {
        "accelerator": "cuda" if torch.cuda.is_available() else "cpu",
        "devices": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "callbacks": [
            EarlyStoppingWithMinEpochs(min_epochs, patience=patience),
            BestCheckpoint(checkpoint_folder),
            FitProgressBar(),
        ],
    }
    return lightning.Trainer(max_epochs=max_epochs, logger=logger, **(options | trainer_options))


def train_model(
    build: Callable[[], RatingModel],
    ratings_df: pl.DataFrame,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    sample: int | None = None,
    split: Callable = split_train_test,
    **trainer_options,
) -> tuple[RatingModel, lightning.Trainer]:
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
    trainer.fit(model, loaders.train, loaders.val)
    return model, trainer
