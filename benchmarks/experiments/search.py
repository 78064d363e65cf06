"""The one search behind the comparisons of notebooks 02, 03 and 05: as many trials for each trained model.

What varies: learning rate, penalty and embedding size, and for what has a network its width, layers and dropout. Trial j
draws these once for all models, so that they differ in their formula only. The first embeddings have the spread that
notebook 02 found to work for products, 0.02, in all. The trial with the lowest validation error is trained again with
five other seeds, and only these have a test error.

`python benchmarks/experiments/search.py` writes `search.csv` beside it: 5 models × (24 trials + 5 seeds), four minutes on
one core.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

from pathlib import Path

import numpy as np
import polars as pl

import utilities
from utilities import models

N_TRIALS, SEEDS = 24, (1, 2, 3, 4, 5)
INIT_STD = 0.02
NAMES = {
    "biased inner product": models.BiasedInnerProduct,
    "concat + linear": models.ConcatBias,
    "concat + network": models.NeuralCollaborativeFilter,
    "GMF": models.GMF,
    "NeuMF": models.NeuMF,
}
WITH_NETWORK = ("concat + network", "NeuMF")


def draw(trial: int) -> dict:
    """Draw the settings of a trial, counted from 1: the same for each model."""
    rng = np.random.default_rng(trial)
    return {
        "learning_rate": round(float(np.exp(rng.uniform(np.log(2e-3), np.log(2e-2)))), 4),
        "l2": round(float(np.exp(rng.uniform(np.log(0.01), np.log(0.3)))), 4),
        "embedding_size": int(rng.choice([8, 16, 32, 64])),
        "width": int(rng.choice([16, 32, 64, 128])),
        "layers": int(rng.choice([1, 2])),
        "dropout": float(rng.choice([0.0, 0.15, 0.3, 0.45])),
    }


def build(name: str, settings: dict, shape: tuple) -> utilities.RatingModel:
    """Make a model from a row of the table; `shape` is (n_users, n_movies, mean_rating, scale)."""
    options = {"init_std": INIT_STD} | {key: settings[key] for key in ("l2", "embedding_size")}
    if name in WITH_NETWORK:
        options |= {"hidden": (settings["width"],) * settings["layers"], "dropout": settings["dropout"]}
    model = NAMES[name](*shape, **options)
    model.learning_rate = settings["learning_rate"]
    return model


def fit(
    name: str, settings: dict, shape: tuple, ratings_df: pl.DataFrame, test_df: pl.DataFrame | None, seed: int
) -> dict:
    """Train with a seed, and measure on validation; given test rows, on these too."""
    model, trainer = utilities.train_model(
        lambda: build(name, settings, shape), ratings_df, seed=seed, enable_progress_bar=False
    )
    only_networks = {} if name in WITH_NETWORK else dict.fromkeys(("width", "layers", "dropout"))
    test_mse = None
    if test_df is not None:
        test_mse = utilities.rating_metrics(test_df["rating"], utilities.predict(model, test_df))["mse"]
    return {
        "model": name,
        "seed": seed,
        **settings,
        **only_networks,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": trainer.current_epoch,
        "val_loss": round(trainer.checkpoint_callback.best_model_score.item(), 4),
        "test_loss": test_mse and round(test_mse, 4),
    }


def main() -> None:
    """Search, and write the table."""
    ratings_df, users_df, movie_ids_df = utilities.load_torch_data()
    train_df, _, test_df = utilities.split_train_test(ratings_df)
    shape = (users_df.height, movie_ids_df.height, train_df["rating"].mean(), utilities.rating_scale())
    rows = []
    for name in NAMES:
        trials = [
            {"kind": "trial", "trial": trial} | fit(name, draw(trial), shape, ratings_df, None, seed=0)
            for trial in range(1, N_TRIALS + 1)
        ]
        best = min(trials, key=lambda row: row["val_loss"])["trial"]
        rows += trials
        rows += [
            {"kind": "best", "trial": best} | fit(name, draw(best), shape, ratings_df, test_df, seed) for seed in SEEDS
        ]
        print(name, draw(best), [row["val_loss"] for row in rows[-len(SEEDS) :]], flush=True)
    pl.DataFrame(rows, infer_schema_length=None).write_csv(Path(__file__).with_suffix(".csv"))


if __name__ == "__main__":
    main()
