"""Epochs of training with everything on: the package against the reference's way and against a bare loop."""

import os
import statistics
import tempfile

import pytorch_lightning as lightning
import torch
from _common import BATCH_SIZE, N_MOVIES, N_USERS, interleaved, machine, seconds, spread, synthetic_ratings
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import MLFlowLogger
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import utilities

EPOCHS = 3  # of a fit; start and end of the fit are part of its seconds
REPEATS = 3
SHARE = 20  # the reference's way trains on a twentieth of the rows: its cost is per row and per step
REFERENCE_EPOCHS = 14


class ConcatBias(utilities.RatingModel):
    def __init__(self, n_users, n_movies, mean_rating, embedding_size=5):
        super().__init__()
        self.save_hyperparameters()
        self.user_embedding = nn.Embedding(n_users, embedding_size)
        self.movie_embedding = nn.Embedding(n_movies, embedding_size)
        self.user_bias, self.movie_bias = nn.Embedding(n_users, 1), nn.Embedding(n_movies, 1)
        self.output = nn.Linear(2 * embedding_size, 1)
        nn.init.constant_(self.output.bias, mean_rating)

    def forward(self, user_ids, movie_ids):
        pairs = torch.cat([self.user_embedding(user_ids), self.movie_embedding(movie_ids)], dim=1)
        ratings = self.output(pairs) + self.user_bias(user_ids) + self.movie_bias(movie_ids)
        return ratings.squeeze(dim=1) if self.training else ratings.squeeze(dim=1).clamp(0.5, 5.0)


class ReferenceSteps:
    """How the reference logs and optimizes: one metric call a step, the default Adam."""

    def training_step(self, batch, batch_idx):
        loss = F.mse_loss(self(*batch[:2]), batch[2])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", F.mse_loss(self(*batch[:2]), batch[2]))

    def on_train_epoch_end(self):
        pass

    on_validation_epoch_end = on_train_epoch_end

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


def package_fit(model, loaders, epochs, logged):
    logger = utilities.mlflow_logger("bench") if logged else False
    trainer = utilities.make_trainer(max_epochs=epochs, logger=logger)
    trainer.fit(model, loaders.train, loaders.val)


def reference_fit(model, loaders, epochs, folder):
    """Train on the first rows of each part."""
    train, val = (
        DataLoader(
            TensorDataset(*loader.dataset[: len(loader.dataset) // SHARE]), BATCH_SIZE, shuffle=loader is loaders.train
        )
        for loader in (loaders.train, loaders.val)
    )
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=MLFlowLogger("reference", tracking_uri=utilities.settings().tracking_uri),
        log_every_n_steps=1,
        callbacks=[ModelCheckpoint(folder, monitor="val_loss")],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, train, val)


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


def bench_model(name, model_class, loaders, mean, folder):
    """Print the seconds an epoch of one model takes in each way."""
    reference_class = type(f"Reference{name}", (ReferenceSteps, model_class), {})

    def build(which=model_class):
        return which(N_USERS, N_MOVIES, mean)

    times = interleaved(
        {
            "package": lambda: package_fit(build(), loaders, EPOCHS, logged=True),
            "package, no logger": lambda: package_fit(build(), loaders, EPOCHS, logged=False),
            "bare loop": lambda: bare_fit(build(), loaders, EPOCHS),
        },
        REPEATS,
    )
    (reference,) = interleaved({"": lambda: reference_fit(build(reference_class), loaders, EPOCHS, folder)}, 1).values()
    epochs = {
        "reference's way": [SHARE * t / EPOCHS for t in reference],
        **{way: [t / EPOCHS for t in of] for way, of in times.items()},
    }
    print(f"\n{name}: seconds an epoch, median (range)\n\n| way | seconds |\n|---|---|")
    for way, of in epochs.items():
        print(f"| {way} | {spread(of)} |")
    reference, package, silent, bare = (statistics.median(of) for of in epochs.values())
    print(f"\npackage against the reference's way: {reference / package:.0f} times as fast")
    print(f"package against the bare loop: {package / bare:.2f} times the seconds")
    print(f"logging every step: {package / silent - 1:+.1%}")
    return reference


def val_losses(model, loaders, epochs):
    """Train, and give (seconds, validation MSE) after each epoch."""
    logs, clock = [], []

    class Clock(lightning.Callback):
        def on_validation_epoch_end(self, trainer, pl_module):
            clock.append(seconds.now() - start)
            logs.append(trainer.callback_metrics["val_loss"].item())

    return logs, clock, start


def main():
    print(machine())
    loaders = utilities.get_data_loaders(synthetic_ratings(), batch_size=BATCH_SIZE)
    mean = loaders.train.dataset.ratings.mean().item()
    inner_product = utilities.import_classes("02_inner_product")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        reference_epoch = bench_model("InnerProduct", inner_product.InnerProduct, loaders, mean, folder)
        bench_model("ConcatBias", ConcatBias, loaders, mean, folder)


if __name__ == "__main__":
    main()
