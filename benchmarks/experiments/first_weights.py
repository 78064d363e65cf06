"""Why notebook 02's first model is slow to leave the mean: one change at a time, several seeds, no early stopping.

Varied are the spread of the first embeddings, `w` (its start, trained or frozen), the learning rate, the optimizer, the
sigmoid, the penalty and the number of factors. Writes `first_weights.csv` beside this file: after each epoch the validation
loss (stars²) and `w`. Built-in sample, CPU, about four minutes of one core.
"""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn

import utilities
from utilities.models import InnerProduct, RegularizedInnerProduct

TABLE = Path(__file__).with_suffix(".csv")
START = {
    "std": 1.0,
    "w": 1.0,
    "w_trained": True,
    "learning_rate": 5e-3,
    "optimizer": "adam",
    "sigmoid": True,
    "l2": 0.0,
    "embedding_size": 5,
}
# name: (what differs from START, epochs, seeds)
CONDITIONS = {
    "start": ({}, 150, 5),
    "w frozen": ({"w_trained": False}, 150, 5),
    "std 0.1": ({"std": 0.1}, 40, 5),
    "rate 0.01": ({"learning_rate": 0.01}, 90, 3),
    "rate 0.02": ({"learning_rate": 0.02}, 50, 3),
    "std 0.5, rate 0.02": ({"std": 0.5, "learning_rate": 0.02}, 25, 3),
    "std 2, rate 0.02": ({"std": 2.0, "learning_rate": 0.02}, 90, 3),
    "long and quiet": ({"w": 0.01, "w_trained": False}, 160, 3),
    "short and quiet": ({"std": 0.1, "w_trained": False}, 40, 3),
    "short and loud": ({"std": 0.1, "w": 100.0, "w_trained": False}, 40, 3),
    "quiet w": ({"w": 0.01}, 100, 3),
    "no sigmoid": ({"sigmoid": False}, 150, 3),
    "penalty": ({"l2": 0.1}, 100, 3),
    "short, penalty": ({"std": 0.1, "l2": 0.1}, 40, 3),
    "sgd": ({"optimizer": "sgd", "learning_rate": 1.0}, 150, 3),
    "sgd, w frozen": ({"optimizer": "sgd", "learning_rate": 1.0, "w_trained": False}, 150, 3),
    "std 0.1, 2 factors": ({"std": 0.1, "embedding_size": 2}, 40, 3),
    "std 0.1, 32 factors": ({"std": 0.1, "embedding_size": 32}, 40, 3),
    "std 0.1, 32 factors, penalty": ({"std": 0.1, "embedding_size": 32, "l2": 0.1}, 40, 3),
}


class Variant(RegularizedInnerProduct):
    """The notebook's inner product, with plain gradient descent or without the sigmoid if asked for."""

    def __init__(self, *arguments, optimizer="adam", sigmoid=True, **options):
        super().__init__(*arguments, **options)
        self.optimizer, self.sigmoid = optimizer, sigmoid
        if not sigmoid:
            nn.init.constant_(self.output.bias, self.hparams.mean_rating)

    def forward(self, user_ids, movie_ids):
        if self.sigmoid:
            return super().forward(user_ids, movie_ids)
        dots = (self.user_embedding(user_ids) * self.movie_embedding(movie_ids)).sum(dim=1, keepdim=True)
        ratings = self.output(dots).squeeze(dim=1)
        return ratings if self.training else ratings.clamp(self.lowest, self.lowest + self.width)

    def configure_optimizers(self):
        if self.optimizer == "adam":
            return super().configure_optimizers()
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate)


class LogOutputWeight(Callback):
    """Note `w` after each epoch."""

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.log("w", pl_module.output.weight.item())


def build(ratings_df: pl.DataFrame, w, w_trained, std, learning_rate, embedding_size, **options) -> InnerProduct:
    """Make the model of a condition, the notebook's own class where it will do."""
    n_users, n_movies = ratings_df["userIdMapped"].n_unique(), ratings_df["movieIdMapped"].n_unique()
    mean_rating = utilities.split_train_test(ratings_df)[0]["rating"].mean()
    arguments = (n_users, n_movies, mean_rating, utilities.rating_scale(), embedding_size, std, learning_rate)
    is_plain = all(options[key] == START[key] for key in options)
    model = InnerProduct(*arguments) if is_plain else Variant(*arguments, **options)
    nn.init.constant_(model.output.weight, w)
    model.output.weight.requires_grad_(w_trained)
    return model


def mean_row(ratings_df: pl.DataFrame) -> pl.DataFrame:
    """Give the validation loss of the mean rating, as a condition of epoch 0."""
    train_df, val_df, _ = utilities.split_train_test(ratings_df)
    loss = utilities.rating_metrics(val_df["rating"], [train_df["rating"].mean()] * val_df.height)["mse"]
    row = {"condition": "mean", "seed": 0, "epoch": 0, "val_loss": round(loss, 4), "w": 0.0}
    return pl.DataFrame([row], {"condition": str, "seed": pl.Int32, "epoch": pl.Int64, "val_loss": float, "w": float})


def fit(ratings_df: pl.DataFrame, name: str, seed: int) -> pl.DataFrame:
    """Train a condition: its name, the seed, and by epoch the validation loss and `w`."""
    changes, epochs, _ = CONDITIONS[name]
    logger = utilities.DictLogger()
    utilities.train_model(
        lambda: build(ratings_df, **START | changes),
        ratings_df,
        seed=seed,
        max_epochs=epochs,
        min_epochs=epochs,
        logger=logger,
        callbacks=LogOutputWeight(),
        enable_progress_bar=False,
        enable_checkpointing=False,
        log_every_n_steps=0,
    )
    by_epoch = {key: [value for _, value in logger.metrics[key]] for key in ("val_loss", "w")}
    return pl.DataFrame({"epoch": range(1, epochs + 1), **by_epoch}).select(
        pl.lit(name).alias("condition"), pl.lit(seed).alias("seed"), "epoch", pl.col("val_loss", "w").round(4)
    )


def main() -> None:
    """Train every condition and write the table."""
    ratings_df = utilities.load_torch_data()[0]
    fits = [fit(ratings_df, name, seed) for name, (_, _, seeds) in CONDITIONS.items() for seed in range(seeds)]
    pl.concat([mean_row(ratings_df), *fits]).write_csv(TABLE)


if __name__ == "__main__":
    main()
