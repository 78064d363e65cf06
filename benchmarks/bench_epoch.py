"""Epochs of training with everything on: the package against the reference's way and against a bare loop."""

import contextlib
import io
import logging
import os
import statistics
import tempfile
import time
import warnings

import pytorch_lightning as lightning
import torch
from _common import BATCH_SIZE, interleaved, machine, planted_ratings, ratio, spread
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import MLFlowLogger
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import utilities
from utilities import models
from utilities.releases import HALF_STARS

EPOCHS = 5  # of a fit; start and end of the fit are part of its seconds
REPEATS = 4
SHARE = 20  # the reference's way trains on a twentieth of the rows: its cost is per row and per step
REFERENCE_EPOCHS = 14


class ReferenceSteps:
    """How the reference trains: a metric call for each step, the default Adam."""

    def training_step(self, batch, batch_idx):
        loss = F.mse_loss(self(*batch[:2]), batch[2])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.log("val_loss", F.mse_loss(self(*batch[:2]), batch[2]))

    def on_train_epoch_end(self):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


class Clock(lightning.Callback):
    """Note the seconds since the fit began, and the validation error, after each epoch."""

    def on_fit_start(self, trainer, pl_module):
        self.start, self.rows = time.perf_counter(), []

    def on_validation_end(self, trainer, pl_module):
        self.rows.append((time.perf_counter() - self.start, trainer.callback_metrics["val_loss"].item()))


def package_fit(model, loaders, epochs, logged):
    logger = utilities.mlflow_logger("bench") if logged else False
    trainer = utilities.make_trainer(max_epochs=epochs, logger=logger)
    with contextlib.redirect_stdout(io.StringIO()):  # the progress bar is drawn, and not shown
        trainer.fit(model, loaders.train, loaders.val)


def reference_fit(model, loaders, folder):
    """Train on the first rows of each part for two epochs, and give the seconds of the second, scaled up."""
    train, val = (
        DataLoader(
            TensorDataset(*loader.dataset[: len(loader.dataset) // SHARE]), BATCH_SIZE, shuffle=loader is loaders.train
        )
        for loader in (loaders.train, loaders.val)
    )
    clock = Clock()
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        num_sanity_val_steps=0,
        logger=MLFlowLogger("reference", tracking_uri=utilities.settings().tracking_uri),
        log_every_n_steps=1,
        callbacks=[ModelCheckpoint(folder, monitor="val_loss"), clock],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, train, val)
    (first, _), (second, _) = clock.rows
    return SHARE * (second - first)


def bare_fit(model, loaders, epochs):
    """The least that trains this model: no trainer, no logger, no checkpoint."""
    optimizer = model.configure_optimizers()
    train, val = (loader.dataset[:] for loader in (loaders.train, loaders.val))
    for _ in range(epochs):
        model.train()
        for index in torch.randperm(len(train[2])).split(BATCH_SIZE):
            user_ids, movie_ids, ratings = (column.index_select(0, index) for column in train)
            loss = F.mse_loss(model(user_ids, movie_ids), ratings) + model.penalty(user_ids, movie_ids)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            for user_ids, movie_ids, ratings in zip(*(column.split(BATCH_SIZE) for column in val), strict=True):
                F.mse_loss(model(user_ids, movie_ids), ratings)


def bench_model(name, model_class, arguments, loaders, folder):
    """Print the seconds an epoch of one model takes in each way."""
    reference_class = type(f"Reference{name}", (ReferenceSteps, model_class), {})

    def build(which=model_class):
        return which(*arguments)

    times = interleaved(
        {
            "reference's way": lambda: reference_fit(build(reference_class), loaders, folder),
            "package": lambda: package_fit(build(), loaders, EPOCHS, logged=True),
            "package, no logger": lambda: package_fit(build(), loaders, EPOCHS, logged=False),
            "bare loop": lambda: bare_fit(build(), loaders, EPOCHS),
        },
        REPEATS,
    )
    epochs = {way: of if way == "reference's way" else [t / EPOCHS for t in of] for way, of in times.items()}
    print(f"\n{name}: seconds an epoch, median (range)\n\n| way | seconds |\n|---|---|")
    for way, of in epochs.items():
        print(f"| {way} | {spread(of)} |")
    reference, package, silent, bare = epochs.values()
    print(f"\npackage against the reference's way: {ratio(reference, package):.0f} times as fast")
    print(f"package against the bare loop: {ratio(package, bare):.2f} times the seconds")
    print(f"logging every step: {ratio(package, silent) - 1:+.1%}")
    return statistics.median(reference)


def val_losses(model, loaders, epochs):
    lightning.seed_everything(0, verbose=False)
    clock = Clock()
    logger = utilities.mlflow_logger("bench")
    trainer = utilities.make_trainer(max_epochs=epochs, logger=logger, callbacks=[clock], enable_checkpointing=False)
    trainer.fit(model, loaders.train, loaders.val)
    return clock.rows


def bench_quality(reference, candidate, loaders, reference_epoch):
    """Print how long each way takes to the validation error that the reference's ends with.

    The reference's error comes from the same model, batches and step size behind the package's loader: the steps are the
    same, only quicker. Its seconds are those of its own epochs.
    """
    target = val_losses(reference, loaders, REFERENCE_EPOCHS)[-1][1]
    rows = val_losses(candidate, loaders, 3)
    reached = next((row for row in enumerate(rows, 1) if row[1][1] <= target), None)
    print(f"\nthe reference's validation MSE after {REFERENCE_EPOCHS} epochs: {target:.3f} stars²")
    print(f"it gets there in {REFERENCE_EPOCHS * reference_epoch:.0f} s ({REFERENCE_EPOCHS} of its epochs)")
    if reached is None:
        print(f"{type(candidate).__name__} does not get there in {len(rows)} epochs")
        return
    epoch, (elapsed, loss) = reached
    factor = REFERENCE_EPOCHS * reference_epoch / elapsed
    print(
        f"{type(candidate).__name__} gets there in {elapsed:.1f} s (epoch {epoch}: {loss:.3f}), {factor:.0f} times as fast"
    )


def main():
    warnings.filterwarnings("ignore", ".*(does not have many workers|exists and is not empty).*")
    for name in ("pytorch_lightning", "lightning_fabric", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    print(machine())
    ratings_df, users_df, movies_df = utilities.map_users_and_movies(planted_ratings())
    loaders = utilities.get_data_loaders(ratings_df, batch_size=BATCH_SIZE)
    arguments = users_df.height, movies_df.height, loaders.train.dataset.ratings.mean().item(), HALF_STARS
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        print(
            f"\n{len(loaders.train.dataset):,} training and {len(loaders.val.dataset):,} validation rows, "
            f"{users_df.height:,} users, {movies_df.height} movies, batch size {BATCH_SIZE:,}, k=5"
        )
        reference_epoch = bench_model("InnerProduct", models.InnerProduct, arguments, loaders, folder)
        bench_model("ConcatBias", models.ConcatBias, arguments, loaders, folder)
        reference, candidate = models.InnerProduct(*arguments), models.BiasedInnerProduct(*arguments)
        bench_quality(reference, candidate, loaders, reference_epoch)


if __name__ == "__main__":
    main()
