"""What notebook 03 asks of five seeds: an axis without a name, a clamp in the training loss, free weights on a product.

`axis`: `FirstAttempt` as written or with its axis named, its biases trained or frozen at 0. `clamp`: three models with the
clamp outside the training loss or inside; and the inner product with first embeddings that put many predictions beyond
the scale, 60 epochs without early stopping or penalty. `weights`: GMF and NeuMF with the weights of their products free or
frozen at 1, and GMF with free weights that its penalty charges for, in the settings of the inner product's best trial in
`search.csv` (run `search.py` first), the network as by default.

`python benchmarks/experiments/seeds.py` writes `seeds.csv` beside it: 85 fits, three minutes on one core.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

import warnings
from pathlib import Path

import polars as pl
import torch
from torch.nn import functional as F

import utilities
from utilities import models

SEEDS = range(5)


class AsWritten(models.FirstAttempt):
    """`FirstAttempt` without the check of the shapes."""

    def mse(self, batch):
        user_ids, movie_ids, ratings = batch
        return F.mse_loss(self(user_ids, movie_ids), ratings)

    def training_step(self, batch, batch_idx):
        return self.mse(batch)


class AxisNamed(AsWritten):
    """`AsWritten` with one change: the layer's output is `[B]`."""

    def forward(self, user_ids, movie_ids):
        both = torch.cat([self.user_embedding(user_ids), self.movie_embedding(movie_ids)], dim=1)
        return self.output(both).squeeze(dim=1) + self.user_bias[user_ids] + self.movie_bias[movie_ids]


def axis(model_class, frozen: bool, seed: int, shape: tuple, ratings_df: pl.DataFrame) -> dict:
    """Train one of the two; the spread is the standard deviation of the layer's output over validation rows."""

    def build():
        model = model_class(*shape[:3])
        for biases in (model.user_bias, model.movie_bias):
            biases.requires_grad_(not frozen)
        return model

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using a target size")
        model, trainer = utilities.train_model(build, ratings_df, seed=seed, enable_progress_bar=False)
    _, val_df, _ = utilities.split_train_test(ratings_df)
    users, movies = (val_df[c].cast(pl.Int64).to_torch() for c in ("userIdMapped", "movieIdMapped"))
    with torch.no_grad():
        output = model.output(torch.cat([model.user_embedding(users), model.movie_embedding(movies)], dim=1))
    return {
        "experiment": "axis",
        "model": "as written" if model_class is AsWritten else "axis named",
        "setting": "biases frozen" if frozen else "biases trained",
        "seed": seed,
        "val_loss": round(trainer.checkpoint_callback.best_model_score.item(), 4),
        "spread": round(output.std().item(), 4),
    }


def clamped(model_class):
    """Make a model clamp its predictions in training, too."""

    class Clamped(model_class):
        def forward(self, user_ids, movie_ids):
            return super().forward(user_ids, movie_ids).clamp(*self.hparams.scale[:2])

    return Clamped


CLAMP_MODELS = {
    "concat + linear": (models.ConcatBias, {}, {}),
    "concat + network": (models.NeuralCollaborativeFilter, {}, {}),
    "biased inner product": (models.BiasedInnerProduct, {"embedding_size": 32}, {}),
    "inner product, wide start": (
        models.BiasedInnerProduct,
        {"embedding_size": 32, "init_std": 1.0, "l2": 0.0},
        {"max_epochs": 60, "min_epochs": 60},
    ),
}


def clamp(name: str, inside: bool, seed: int, shape: tuple, ratings_df: pl.DataFrame) -> dict:
    """Train a model with the clamp outside its training loss or inside."""
    model_class, options, trainer_options = CLAMP_MODELS[name]
    build = clamped(model_class) if inside else model_class
    _, trainer = utilities.train_model(
        lambda: build(*shape, **options), ratings_df, seed=seed, enable_progress_bar=False, **trainer_options
    )
    return {
        "experiment": "clamp",
        "model": name,
        "setting": "inside" if inside else "outside",
        "seed": seed,
        "val_loss": round(trainer.checkpoint_callback.best_model_score.item(), 4),
        "spread": None,
    }


class Charged(models.GMF):
    """`GMF` with the price on v⊙q_i in place of q_i: what v adds to the length is paid for."""

    def penalty(self, user_ids, movie_ids):
        users = self.user_bias(user_ids), self.user_embedding(user_ids)
        movies = self.movie_bias(movie_ids), self.movie_embedding(movie_ids) * self.weights[:, 0]
        return self.hparams.l2 * sum(rows.square().sum(1).mean() for rows in (*users, *movies))


def weights(model_class, frozen: bool, seed: int, shape: tuple, ratings_df: pl.DataFrame) -> dict:
    """Train a model with the weights of its product free or frozen at 1."""
    search_df = pl.read_csv(Path(__file__).with_name("search.csv"), infer_schema_length=None)
    of_model = (pl.col("model") == "biased inner product") & (pl.col("kind") == "best")
    best = search_df.filter(of_model).row(0, named=True)

    def build():
        options = {column: best[column] for column in ("embedding_size", "l2", "learning_rate")}
        model = model_class(*shape, init_std=0.02, **options)
        model.weights.requires_grad_(not frozen)
        return model

    _, trainer = utilities.train_model(build, ratings_df, seed=seed, enable_progress_bar=False)
    return {
        "experiment": "weights",
        "model": "NeuMF" if model_class is models.NeuMF else "GMF",
        "setting": "frozen" if frozen else "charged" if model_class is Charged else "free",
        "seed": seed,
        "val_loss": round(trainer.checkpoint_callback.best_model_score.item(), 4),
        "spread": None,
    }


WEIGHTS = (
    (models.GMF, False),
    (models.GMF, True),
    (Charged, False),
    (models.NeuMF, False),
    (models.NeuMF, True),
)


def main() -> None:
    """Train all, and write the table."""
    ratings_df, users_df, movie_ids_df = utilities.load_torch_data()
    train_df, _, _ = utilities.split_train_test(ratings_df)
    shape = (users_df.height, movie_ids_df.height, train_df["rating"].mean(), utilities.rating_scale())
    rows = [
        axis(model_class, frozen, seed, shape, ratings_df)
        for model_class in (AsWritten, AxisNamed)
        for frozen in (False, True)
        for seed in SEEDS
    ]
    rows += [
        clamp(name, inside, seed, shape, ratings_df)
        for name in CLAMP_MODELS
        for inside in (False, True)
        for seed in SEEDS
    ]
    rows += [weights(model_class, frozen, seed, shape, ratings_df) for model_class, frozen in WEIGHTS for seed in SEEDS]
    pl.DataFrame(rows, infer_schema_length=None).write_csv(Path(__file__).with_suffix(".csv"))


if __name__ == "__main__":
    main()
