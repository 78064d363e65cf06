"""What helps notebook 02's inner product against overfitting: one change at a time, equal tuning, five seeds.

`add`: one cure added to the inner product with first embeddings of 0.1. `remove`: one cure taken from all of them together.
Each gets four settings, of the cure's own knob where it has one, else of the learning rate. `data`: both ends on fewer
ratings. `quiet start`: the penalty from first embeddings of 0.01. `kind`: a penalty by look-ups or in ratings, four λ each.
`loophole`: the penalty with `w` trained or frozen, and `overtrained`: both ends, for 40 epochs without early stopping.
Writes `cures.csv` beside this file: the validation loss (stars²) of the best epoch and of the last, that epoch's number,
and the training loss of epoch 6. Built-in sample, CPU, about five minutes of one core.
"""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl
import torch
from torch import nn

import utilities
from utilities.models import BiasedInnerProduct, RegularizedInnerProduct

TABLE = Path(__file__).with_suffix(".csv")
SEEDS = 5
KNOBS = {
    "init_std": (0.05, 0.03, 0.01, 0.003),
    "embedding_size": (1, 2, 8, 32),
    "l2": (0.03, 0.1, 0.3, 1.0),
    "learning_rate": (0.005, 0.01, 0.02, 0.04),
}
ADD = {
    "nothing": ({}, "learning_rate"),
    "small first weights": ({}, "init_std"),
    "penalty": ({}, "l2"),
    "biases": ({"biases": True}, "learning_rate"),
    "another size": ({}, "embedding_size"),
    "w frozen at 1": ({"w_trained": False}, "learning_rate"),
}
RATES_TOGETHER = (0.00125, 0.0025, 0.005, 0.01)
TOGETHER = {"init_std": 0.02, "l2": 0.1, "embedding_size": 32}
REMOVE = {
    "nothing": {},
    "small first weights": {"init_std": 0.1},
    "penalty": {"l2": 0.0},
    "biases": {"biases": False},
    "size": {"embedding_size": 5},
    "no sigmoid": {"sigmoid": True, "biases": True},
}


class Squeezed(RegularizedInnerProduct):
    """The inner product through the sigmoid, with user and movie biases of its own inside, or a frozen `w`."""

    def __init__(self, *arguments, biases=False, w_trained=True, **options):
        super().__init__(*arguments, **options)
        self.user_bias, self.movie_bias = (nn.Embedding(n, 1) for n in arguments[:2])
        for table in (self.user_bias, self.movie_bias):
            nn.init.zeros_(table.weight)
            table.weight.requires_grad_(biases)
        self.output.weight.requires_grad_(w_trained)

    def forward(self, user_ids, movie_ids):
        dots = (self.user_embedding(user_ids) * self.movie_embedding(movie_ids)).sum(dim=1, keepdim=True)
        scores = self.output(dots) + self.user_bias(user_ids) + self.movie_bias(movie_ids)
        return self.lowest + self.width * torch.sigmoid(scores).squeeze(dim=1)

    def penalty(self, user_ids, movie_ids):
        biases = self.user_bias(user_ids).square() + self.movie_bias(movie_ids).square()
        return super().penalty(user_ids, movie_ids) + self.hparams.l2 * biases.mean()


class InStars(BiasedInnerProduct):
    """The notebook's biased inner product, with the biases left out or a penalty in ratings."""

    def __init__(self, *arguments, biases=True, learning_rate=5e-3, counts=None, **options):
        super().__init__(*arguments, **options)
        self.learning_rate, self.counts = learning_rate, counts
        for table in (self.user_bias, self.movie_bias):
            table.weight.requires_grad_(biases)

    def penalty(self, user_ids, movie_ids):
        if self.counts is None:
            return super().penalty(user_ids, movie_ids)
        tables = ((self.user_bias, self.user_embedding), (self.movie_bias, self.movie_embedding))
        prices = [
            (table(ids).square().sum(1) / counts[ids]).mean()
            for ids, counts, both in zip((user_ids, movie_ids), self.counts, tables, strict=True)
            for table in both
        ]
        return self.hparams.l2 * sum(prices)


class Experiment:
    """The data, and the table as it grows."""

    def __init__(self):
        self.ratings_df, users_df, movies_df = utilities.load_torch_data()
        train_df = utilities.split_train_test(self.ratings_df)[0]
        self.n_train = train_df.height
        self.arguments = (users_df.height, movies_df.height, train_df["rating"].mean(), utilities.rating_scale())
        self.counts = [
            torch.bincount(train_df[column].cast(pl.Int64).to_torch(), minlength=n).clamp(min=1)
            for column, n in zip(("userIdMapped", "movieIdMapped"), self.arguments[:2], strict=True)
        ]

    def build(self, sigmoid=True, **options):
        """Make a model: through the sigmoid, from first embeddings of 0.1, or in stars, from `TOGETHER`."""
        if sigmoid:
            return Squeezed(*self.arguments, **{"init_std": 0.1, "l2": 0.0} | options)
        return InStars(*self.arguments, **TOGETHER | options)

    def fit(self, part: str, name: str, setting: str, seed: int, options: dict, **training) -> dict:
        """Train once: a row of the table."""
        logger = utilities.DictLogger()
        utilities.train_model(
            lambda: self.build(**options),
            self.ratings_df,
            seed=seed,
            logger=logger,
            enable_progress_bar=False,
            enable_checkpointing=False,
            log_every_n_steps=0,
            **training,
        )
        val_losses = [loss for _, loss in logger.metrics["val_loss"]]
        best = min(val_losses)
        return {
            "part": part,
            "name": name,
            "setting": setting,
            "seed": seed,
            "best_val": round(best, 4),
            "epoch": val_losses.index(best) + 1,
            "last_val": round(val_losses[-1], 4),
            "train_6": round(logger.metrics["train_loss"][5][1], 4),
        }

    def fits(self):
        """Give the rows, part by part."""
        together, forty = {"sigmoid": False}, {"max_epochs": 40, "min_epochs": 40}
        jobs = []
        for name, (changes, knob) in ADD.items():
            jobs += [("add", name, f"{knob}={value:g}", changes | {knob: value}, {}) for value in KNOBS[knob]]
        for name, changes in REMOVE.items():
            base = TOGETHER | together | changes
            for rate in RATES_TOGETHER:
                jobs.append(("remove", name, f"learning_rate={rate:g}", base | {"learning_rate": rate}, {}))
        for parts in (8, 4, 2, 1):
            some = {"sample": self.n_train // parts, "batch_size": 256}
            for name, options in (("start", {}), ("together", together)):
                jobs.append(("data", name, f"ratings={some['sample']}", options, some))
        for l2 in (0.03, 0.1):
            jobs.append(("quiet start", "penalty", f"l2={l2:g}", {"init_std": 0.01, "l2": l2}, {}))
        for l2 in (0.02, 0.05, 0.1, 0.2):
            jobs.append(("kind", "by look-ups", f"l2={l2:g}", together | {"l2": l2}, {}))
        for l2 in (2, 4, 8, 16):
            jobs.append(("kind", "in ratings", f"l2={l2:g}", together | {"l2": l2, "counts": self.counts}, {}))
        for name, trained in (("w trained", True), ("w frozen at 1", False)):
            jobs.append(("loophole", name, "l2=0.1", {"l2": 0.1, "w_trained": trained}, forty))
        for name, options in (("start", {}), ("together", together)):
            jobs.append(("overtrained", name, "", options, forty))
        for part, name, setting, options, training in jobs:
            for seed in range(SEEDS):
                yield self.fit(part, name, setting, seed, options, **training)


def main() -> None:
    """Train every setting and write the table."""
    pl.DataFrame(list(Experiment().fits())).write_csv(TABLE)


if __name__ == "__main__":
    main()
