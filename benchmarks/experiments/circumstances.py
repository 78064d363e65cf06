"""What notebook 05 asks of several seeds: other splits, other kinds of split, the same users or movies with fewer ratings.

Every model has the settings of its best trial in `search.csv` (run `search.py` first); the biases have λ = 4.

`splits`: five random splits × five seeds. `kinds`: four kinds of split × five seeds; a tenth of the training ratings, drawn
at random, says when to stop, since validation rows of users never seen would stop what is learned of the others. `thinned`:
those with at least 80 training ratings keep some of them, drawn at random, a fifth of them at a time, so that everyone
else's ratings, and most of each movie's (or user's), stay as they were; the error is that of their test ratings. Rows
without a seed are for the mean of the seeds; their `lead` is the biases' error less the model's, with an interval over
users. Where users are thinned, an inner product with a price in ratings, not by look-ups, is trained, too.

`python benchmarks/experiments/circumstances.py` writes `circumstances.csv` beside it: 304 fits, ten minutes on one core.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

from pathlib import Path

import numpy as np
import polars as pl
import torch
from search import INIT_STD, build

import utilities
from utilities import models

SPLITS, SEEDS = (42, 43, 44, 45, 46), (1, 2, 3, 4, 5)
INNER = "biased inner product"
MODELS = ("concat + linear", "concat + network", INNER)
KEPT, AT_LEAST, N_FOLDS, THINNED_SEEDS = (5, 10, 20, 40, None), 80, 5, (1, 2, 3)
REGULARIZATION, L2_IN_RATINGS = 4, 8  # in ratings, chosen on validation in notebooks 01 and 02


def best_setting(name: str) -> dict:
    """Give the settings that the search found for a model."""
    search_df = pl.read_csv(Path(__file__).with_name("search.csv"), infer_schema_length=None)
    return search_df.filter(pl.col("model") == name, pl.col("kind") == "best").row(0, named=True)


def fit(name: str, shape: tuple, parts: tuple, seed: int):
    """Train on the first part, stop by the second."""
    settings = best_setting(name)
    model, _ = utilities.train_model(
        lambda: build(name, settings, shape),
        pl.concat(parts),
        seed=seed,
        split=lambda _: parts,
        enable_progress_bar=False,
    )
    return model


def mse(df: pl.DataFrame, predictions) -> float:
    return utilities.rating_metrics(df["rating"], predictions)["mse"]


def simple(train_df: pl.DataFrame) -> dict:
    """Give the predictors that have no seed, as functions of rows."""
    mean, scale = train_df["rating"].mean(), utilities.rating_scale()
    biases = utilities.BiasBaseline.fit(train_df, REGULARIZATION, scale)
    return {"mean": lambda df: np.full(df.height, mean), "biases": biases.predict}


def row(part: str, setting, model: str, seed: int | None, val_mse: float | None, test_mse: float, **more) -> dict:
    errors = {"val_mse": val_mse and round(val_mse, 4), "test_mse": round(test_mse, 4)}
    return {"part": part, "setting": str(setting), "model": model, "seed": seed, **errors, **more}


def splits(ratings_df: pl.DataFrame, shape: tuple) -> list[dict]:
    """Cross random splits with seeds."""
    rows = []
    for split_seed in SPLITS:
        parts = utilities.split_train_test(ratings_df, seed=split_seed)
        for name, predict in simple(parts[0]).items():
            rows.append(row("splits", split_seed, name, None, *(mse(df, predict(df)) for df in parts[1:])))
        for name in MODELS:
            for seed in SEEDS:
                model = fit(name, (*shape[:2], parts[0]["rating"].mean(), shape[3]), parts, seed)
                errors = (mse(df, utilities.predict(model, df)) for df in parts[1:])
                rows.append(row("splits", split_seed, name, seed, *errors))
        print("split", split_seed, flush=True)
    return rows


def cut(df: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """First 70 % and last 10 % of the rows; the 20 % between are validation, not used here."""
    n_train, n_val = round(0.7 * df.height), round(0.2 * df.height)
    return df.head(n_train), df.slice(n_train + n_val)


def at_random(df: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    train_df, _, test_df = utilities.split_train_test(df)
    return train_df, test_df


def latest(df: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    place = pl.struct("timestamp", "movieId").rank("ordinal").over("userId") / pl.len().over("userId")
    return df.filter(place <= 0.7), df.filter(place > 0.9)


def by_time(df: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return cut(df.sort("timestamp", "userId", "movieId"))


def by_user(df: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    users_df = df.select("userId").unique().sort("userId").sample(fraction=1, shuffle=True, seed=0)
    return tuple(df.join(part_df, on="userId", how="semi", maintain_order="left") for part_df in cut(users_df))


KINDS = {"at random": at_random, "each user's latest": latest, "by time": by_time, "by user": by_user}


def kinds(ratings_df: pl.DataFrame, shape: tuple) -> list[dict]:
    """Train on the past of each kind of split, and measure on its future."""
    rows = []
    for kind, split in KINDS.items():
        past_df, future_df = split(ratings_df)
        shuffled_df = past_df.sample(fraction=1, shuffle=True, seed=0)
        n_fit = round(0.9 * shuffled_df.height)
        parts = shuffled_df.head(n_fit), shuffled_df.slice(n_fit), future_df
        for name, predict in simple(past_df).items():
            rows.append(row("kinds", kind, name, None, None, mse(future_df, predict(future_df))))
        for name in MODELS[1:]:
            for seed in SEEDS:
                model = fit(name, (*shape[:2], past_df["rating"].mean(), shape[3]), parts, seed)
                rows.append(row("kinds", kind, name, seed, None, mse(future_df, utilities.predict(model, future_df))))
        print("kind", kind, flush=True)
    return rows


class PriceInRatings(models.BiasedInnerProduct):
    """The inner product with notebook 02's other price: divided by the number of ratings, it is charged once an epoch."""

    def penalty(self, user_ids, movie_ids):
        users = torch.cat([self.user_bias(user_ids), self.user_embedding(user_ids)], dim=1)
        movies = torch.cat([self.movie_bias(movie_ids), self.movie_embedding(movie_ids)], dim=1)
        users, movies = users.square().sum(dim=1), movies.square().sum(dim=1)
        user_counts, movie_counts = self.counts
        return self.hparams.l2 * (users / user_counts[user_ids] + movies / movie_counts[movie_ids]).mean()


def price_in_ratings(shape: tuple, train_df: pl.DataFrame) -> PriceInRatings:
    """Build it in the settings of the inner product, but for the price."""
    settings = best_setting(INNER)
    model = PriceInRatings(*shape, embedding_size=settings["embedding_size"], init_std=INIT_STD, l2=L2_IN_RATINGS)
    model.learning_rate = settings["learning_rate"]
    columns = ("userIdMapped", "movieIdMapped")
    model.counts = [
        train_df[column].cast(pl.Int64).to_torch().bincount(minlength=n).clamp(min=1)
        for column, n in zip(columns, shape[:2], strict=True)
    ]
    return model


def thinned(ratings_df: pl.DataFrame, shape: tuple) -> list[dict]:
    """Take ratings from those who have many, a fifth of these users (or movies) at a time."""
    parts = utilities.split_train_test(ratings_df)
    rows = []
    for column in ("userId", "movieId"):
        many_df = parts[0].group_by(column).len().filter(pl.col("len") >= AT_LEAST).sort(column)
        mean_n = round(many_df["len"].mean())
        many_df = many_df.select(column).sample(fraction=1, shuffle=True, seed=0)
        folds = [many_df.gather_every(N_FOLDS, fold) for fold in range(N_FOLDS)]
        for n_kept in KEPT:
            errors_df = pl.concat(
                errors_of_thinned(parts, fold_df, column, n_kept, seed, shape)
                for fold_df in (folds if n_kept else [many_df])
                for seed in THINNED_SEEDS
            )
            rows += summary(column, n_kept or mean_n, errors_df)
            print("thinned", column, n_kept, flush=True)
    return rows


def errors_of_thinned(parts: tuple, fold_df, column: str, n_kept: int | None, seed: int, shape: tuple) -> pl.DataFrame:
    """Train without most ratings of some users (or movies), and give the squared errors of their test ratings."""
    train_df, val_df, test_df = parts
    train_df = thin(train_df, fold_df, column, n_kept, seed)
    own_df = test_df.join(fold_df, on=column, how="semi", maintain_order="left")
    parts = train_df, val_df, test_df
    predictions = {name: predict(own_df) for name, predict in simple(train_df).items()}
    predictions[INNER] = utilities.predict(fit(INNER, shape, parts, seed), own_df)
    if column == "userId":
        model, _ = utilities.train_model(
            lambda: price_in_ratings(shape, train_df),
            pl.concat(parts),
            seed=seed,
            split=lambda _: parts,
            enable_progress_bar=False,
        )
        predictions["price in ratings"] = utilities.predict(model, own_df)
    ratings = own_df["rating"].to_numpy()
    squared = {name: (np.asarray(values, dtype=float) - ratings) ** 2 for name, values in predictions.items()}
    return own_df.select("userId", "movieId").with_columns(seed=pl.lit(seed), **squared)


def thin(train_df, fold_df, column: str, n_kept: int | None, seed: int) -> pl.DataFrame:
    """Keep n ratings of each of these users (or movies), and all of the others; all of them where n is None."""
    if n_kept is None:
        return train_df
    others_df = train_df.join(fold_df, on=column, how="anti", maintain_order="left")
    own_df = train_df.join(fold_df, on=column, how="semi", maintain_order="left")
    place = pl.int_range(pl.len()).shuffle(seed=seed).over(column)
    return pl.concat([others_df, own_df.filter(place < n_kept)])


def summary(column: str, n_kept: int, errors_df: pl.DataFrame) -> list[dict]:
    """Average the squared errors of each seed, and of all; the lead over the biases with its interval."""
    rows, users = [], ["userId", "movieId"]
    mean_df = errors_df.group_by(users, maintain_order=True).mean()
    for name in errors_df.drop(*users, "seed").columns:
        for (seed,), df in errors_df.group_by("seed", maintain_order=True):
            rows.append(row("thinned", column, name, seed, None, df[name].mean(), kept=n_kept))
        lead = mean_df["biases"] - mean_df[name]
        low, high = utilities.bootstrap_interval(lead, mean_df["userId"])
        lead = {"lead": round(lead.mean(), 4), "low": round(low, 4), "high": round(high, 4)}
        rows.append(row("thinned", column, name, None, None, mean_df[name].mean(), kept=n_kept, **lead))
    return rows


def main() -> None:
    """Train all, and write the table."""
    ratings_df, users_df, movie_ids_df = utilities.load_torch_data()
    mean = utilities.split_train_test(ratings_df)[0]["rating"].mean()
    shape = (users_df.height, movie_ids_df.height, mean, utilities.rating_scale())
    rows = [*splits(ratings_df, shape), *kinds(ratings_df, shape), *thinned(ratings_df, shape)]
    pl.DataFrame(rows, infer_schema_length=None).write_csv(Path(__file__).with_suffix(".csv"))


if __name__ == "__main__":
    main()
