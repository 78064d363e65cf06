"""Measure published libraries beside the course's own models: the same rows, the same number of trials, one thread.

Every model learns from the 70 % of the ratings that the notebooks learn from. Its first trial has the library's defaults, or
where it has none what its documentation uses; the other seven are drawn at random, by a seed and on a logarithmic scale,
between the bounds below, which lie around settings known to work. The trial with the lowest validation error counts, and
only its test error is computed. Predictions are clipped to the scale. `inputs` says what a model is told: the ids, or the
genres and the year of the movies as well.

On the planted ratings (`_common.py`), which have no genres, there are three trials between narrower bounds, the first with
the five factors that were planted, or the eight of the course. The two models that alternate least squares are fitted there
on two threads as well, once, with the same size and number of sweeps.

`seconds` are of processor time, which other programs disturb less, and of the chosen fit alone, from a frame of ratings to a
model; `wall_seconds` are by the clock.

    make peers             # half an hour on two cores; writes benchmarks/peers.csv, prints it

What one library needs another does not bear, so each has an environment of its own, below `build/peers/`. The course writes
the rows there; then this script is called once for each library, with its Python. Rows of other datasets stay in the table.
"""

import json
import os
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "peers"
DISTRIBUTIONS = {"course": "torch", "surprise": "scikit-surprise", "myfm": "myfm", "lenskit": "lenskit"}
UNPINNED = {"lenskit": "pandas=="}  # it wants an older one than the course
TRIALS, PLANTED_TRIALS = 8, 3
IDS = ["userIdMapped", "movieIdMapped"]


@dataclass(frozen=True)
class Rows:
    """Ratings to learn from and to predict, and what is known of them."""

    dataset: str
    movies: str
    train_df: pl.DataFrame
    val_df: pl.DataFrame
    test_df: pl.DataFrame
    features: np.ndarray | None  # of the movies, f32 [n_movies, d]: ones, year, genres, year²
    n_users: int
    n_movies: int
    scale: tuple[float, float]


@dataclass(frozen=True)
class Model:
    """A way to predict, with its settings: lower bound, default and upper bound of each."""

    name: str
    fit: Callable  # (rows, **settings) -> (ratings_df -> predictions)
    settings: dict[str, tuple]
    planted: dict[str, tuple] | None = field(default_factory=dict)  # what differs there; None: not measured there
    inputs: str = "ids"
    race: bool = False

    def draw_trials(self, n: int, planted: bool) -> list[dict]:
        """Give the defaults, and settings drawn around them."""
        rng, bounds = np.random.default_rng(0), self.settings | (self.planted if planted else {})
        trials = [{name: default for name, (_, default, _) in bounds.items()}]
        for _ in range(n - 1):
            drawn = {name: np.exp(rng.uniform(np.log(low), np.log(high))) for name, (low, _, high) in bounds.items()}
            whole = {name: isinstance(default, int) for name, default in trials[0].items()}
            trials.append(
                {name: round(value) if whole[name] else float(f"{value:.2g}") for name, value in drawn.items()}
            )
        return trials


def fit_bias(rows, regularization):
    import utilities

    return utilities.BiasBaseline.fit(
        rows.train_df, regularization, utilities.releases.Scale(*rows.scale, None)
    ).predict


def fit_als(rows, size, sweeps, regularization, bias_regularization):
    """Solve for users and movies in turn, each a ridge regression on the other's embeddings and a one."""
    import torch

    import utilities

    user_ids, movie_ids = (rows.train_df[column].cast(pl.Int64).to_torch() for column in IDS)
    ratings = rows.train_df["rating"].cast(pl.Float32).to_torch()
    mean = ratings.mean()
    by_user = utilities.group_ratings(user_ids, movie_ids, ratings - mean, rows.n_users)
    by_movie = utilities.group_ratings(movie_ids, user_ids, ratings - mean, rows.n_movies)
    prior = torch.zeros(size + 1), torch.tensor([regularization] * size + [bias_regularization])
    movies = 0.3 * torch.randn(rows.n_movies, size + 1, generator=torch.Generator().manual_seed(0))
    movies[:, -1] = 0
    for _ in range(sweeps):
        users = utilities.solve_rows(utilities.row_sums(by_user, movies), prior)
        movies = utilities.solve_rows(utilities.row_sums(by_movie, users), prior)
    users, movies = users.numpy(), movies.numpy()
    return lambda df: mean.item() + dot(df, users[:, :-1], movies[:, :-1], users[:, -1], movies[:, -1])


def fit_bayesian(rows, size, sweeps, with_features=False):
    import torch

    import utilities

    features = torch.from_numpy(rows.features) if with_features else torch.ones(rows.n_movies, 1)
    scale = utilities.releases.Scale(*rows.scale, None)
    model = utilities.BayesianFactorization.fit(
        rows.train_df, torch.ones(rows.n_users, 1), features, scale, size=size, sweeps=sweeps, burn_in=sweeps // 5
    )
    return lambda df: model.predict(df)["prediction"]


def fit_surprise(rows, algorithm, **settings):
    from surprise import Dataset, Reader, prediction_algorithms

    if algorithm == "BaselineOnly":
        settings = {"bsl_options": settings | {"method": "als"}, "verbose": False}
    else:
        settings |= {"random_state": 0}
    model = getattr(prediction_algorithms, algorithm)(**settings)
    ratings = Dataset.load_from_df(to_pandas(rows.train_df.select(*IDS, "rating")), Reader(rating_scale=rows.scale))
    model.fit(ratings.build_full_trainset())
    return lambda df: [model.predict(user, movie).est for user, movie in df.select(IDS).iter_rows()]


def fit_myfm(rows, rank, sweeps, with_features=False):
    """Draw from the posterior of a factorisation machine; a block for each side spares a row of features for each rating."""
    from myfm import MyFMRegressor, RelationBlock
    from scipy import sparse

    users, movies = (sparse.identity(n, format="csr") for n in (rows.n_users, rows.n_movies))
    sizes = [rows.n_users, rows.n_movies]
    if with_features:
        known = rows.features[:, 1:]
        movies, sizes = sparse.hstack([movies, known], format="csr"), [*sizes, known.shape[1]]

    def blocks(df):
        return [RelationBlock(df[column].to_list(), side) for column, side in zip(IDS, (users, movies), strict=True)]

    def no_columns(df):
        return sparse.csr_matrix((df.height, 0))

    model = MyFMRegressor(rank=rank, random_seed=0)
    model.fit(
        no_columns(rows.train_df),
        rows.train_df["rating"].to_numpy(),
        X_rel=blocks(rows.train_df),
        n_iter=sweeps,
        n_kept_samples=sweeps - sweeps // 5,
        group_shapes=sizes,
    )
    return lambda df: model.predict(no_columns(df), blocks(df))


def fit_lenskit(rows, **settings):
    from lenskit.als import BiasedMFScorer
    from lenskit.data import from_interactions_df
    from lenskit.training import TrainingOptions

    names = dict(zip(IDS, ("user_id", "item_id"), strict=True))
    ratings = from_interactions_df(to_pandas(rows.train_df.select(*IDS, "rating").rename(names)))
    scorer = BiasedMFScorer(**settings)
    scorer.train(ratings, TrainingOptions(rng=0))
    bias = scorer.bias

    def in_order(of_known, known, n):
        """Put users or movies into the order of the mapped ids; one without a training rating gets zeros."""
        table = np.zeros((n, *of_known.shape[1:]))
        table[known.ids()] = of_known
        return table

    sides = ((scorer.users, rows.n_users), (scorer.items, rows.n_movies))
    tables = [
        in_order(of_known, *side)
        for pair in ((scorer.user_embeddings, scorer.item_embeddings), (bias.user_biases, bias.item_biases))
        for of_known, side in zip(pair, sides, strict=True)
    ]
    return lambda df: bias.global_bias + dot(df, *tables)


def to_pandas(df):
    import pandas as pd

    return pd.DataFrame({column: df[column].to_numpy() for column in df.columns})  # polars' own way needs pyarrow


def dot(df, users, movies, user_biases, movie_biases):
    """Compute b_u + b_i + p_u·q_i."""
    user_ids, movie_ids = df.select(IDS).to_numpy().T
    return user_biases[user_ids] + movie_biases[movie_ids] + (users[user_ids] * movies[movie_ids]).sum(1)


FEATURES = "ids, genres, year"
STEPS = {"lr_all": (0.003, 0.005, 0.02), "reg_all": (0.02, 0.02, 0.2)}
SAMPLER = {"size": (4, 8, 16), "sweeps": (60, 100, 240)}
MYFM = {"rank": (4, 10, 16), "sweeps": (100, 200, 300)}
MODELS = {
    "course": [
        Model("bias baseline", fit_bias, {"regularization": (1.0, 5.0, 25.0)}),
        Model(
            "alternating least squares",
            fit_als,
            {
                "size": (4, 8, 16),
                "sweeps": (5, 10, 20),
                "regularization": (6.0, 12.0, 24.0),
                "bias_regularization": (2.0, 4.0, 8.0),
            },
            planted={"size": (4, 5, 8), "regularization": (30.0, 60.0, 120.0)},
            race=True,
        ),
        Model("Bayesian factorization", fit_bayesian, SAMPLER, planted={"sweeps": (60, 100, 160)}),
        Model(
            "Bayesian factorization with features",
            partial(fit_bayesian, with_features=True),
            SAMPLER,
            planted=None,
            inputs=FEATURES,
        ),
    ],
    "surprise": [
        Model(
            "Surprise BaselineOnly",
            partial(fit_surprise, algorithm="BaselineOnly"),
            {"n_epochs": (5, 10, 20), "reg_u": (4.0, 15.0, 50.0), "reg_i": (3.0, 10.0, 35.0)},
        ),
        Model(
            "Surprise SVD",
            partial(fit_surprise, algorithm="SVD"),
            {"n_factors": (50, 100, 200), "n_epochs": (20, 20, 80)} | STEPS,
            planted={"n_factors": (4, 5, 8), "n_epochs": (20, 20, 40)},
        ),
        Model(
            "Surprise SVD++",
            partial(fit_surprise, algorithm="SVDpp"),
            {"n_factors": (10, 20, 40), "n_epochs": (10, 20, 30)} | STEPS | {"lr_all": (0.003, 0.007, 0.02)},
            planted={"n_factors": (4, 5, 8)},
        ),
    ],
    "myfm": [
        Model("myFM", fit_myfm, MYFM, planted={"rank": (4, 5, 8), "sweeps": (40, 60, 80)}),
        Model("myFM with features", partial(fit_myfm, with_features=True), MYFM, planted=None, inputs=FEATURES),
    ],
    "lenskit": [
        Model(
            "LensKit BiasedMF",
            fit_lenskit,
            {
                "features": (8, 50, 100),
                "epochs": (5, 10, 20),
                "regularization": (0.05, 0.1, 0.3),
                "damping": (2.0, 5.0, 20.0),
            },
            planted={"features": (4, 5, 8)},
            race=True,
        ),
    ],
}


def prepare():
    """Write the course's rows for all to read; give the folders."""
    from _common import planted_ratings

    import utilities

    config = utilities.settings()
    ratings_df = utilities.load_ratings()
    sources = {
        (config.dataset, str(n_movies or "all")): (
            ratings_df.join(
                utilities.get_most_frequent_movies(ratings_df, n_movies),
                on="movieId",
                how="semi",
                maintain_order="left",
            ),
            utilities.rating_scale(),
        )
        for n_movies in (None, config.top_movies)
    }
    sources["planted", "50"] = planted_ratings(), utilities.rating_scale("built-in")
    for (dataset, movies), (source_df, scale) in sources.items():
        folder = BUILD / "rows" / f"{dataset}, {movies} movies"
        folder.mkdir(parents=True, exist_ok=True)
        source_df, users_df, movie_id_mapping = utilities.map_users_and_movies(source_df)
        parts = zip(("train", "val", "test"), utilities.split_train_test(source_df), strict=True)
        for part, df in parts:
            df.write_parquet(folder / f"{part}.parquet")
        if dataset != "planted":
            movies_df = movie_id_mapping.join(utilities.load_movies(), on="movieId", how="left", maintain_order="left")
            np.save(folder / "features.npy", utilities.movie_features(movies_df).numpy())
        facts = {"dataset": dataset, "movies": movies, "n_users": users_df.height, "n_movies": movie_id_mapping.height}
        (folder / "facts.json").write_text(json.dumps(facts | {"scale": scale[:2]}))
        yield folder


def read_rows(folder):
    parts = {f"{part}_df": pl.read_parquet(folder / f"{part}.parquet") for part in ("train", "val", "test")}
    features = np.load(folder / "features.npy") if (folder / "features.npy").exists() else None
    return Rows(**parts, features=features, **json.loads((folder / "facts.json").read_text()))


def mse(df, predictions, scale):
    return float(np.mean((np.clip(predictions, *scale) - df["rating"].to_numpy()) ** 2))


def measure(model, rows, n_trials):
    """Fit as often as there are trials; give the row of the best."""
    trials, best = model.draw_trials(n_trials, rows.dataset == "planted"), None
    few = replace(rows, train_df=rows.train_df.head(1000))
    model.fit(few, **trials[0])  # what a first call loads is nobody's fit
    for settings in trials:
        start, start_wall = time.process_time(), time.perf_counter()
        predict = model.fit(rows, **settings)
        row = {"seconds": time.process_time() - start, "wall_seconds": time.perf_counter() - start_wall}
        row["val_mse"] = mse(rows.val_df, predict(rows.val_df), rows.scale)
        shown = ", ".join(f"{name}={value}" for name, value in settings.items())
        print(f"  {model.name}: {shown}: {row['val_mse']:.4f} in {row['seconds']:.2f} s", flush=True)
        if best is None or row["val_mse"] < best[0]["val_mse"]:
            best = row | {"settings": shown}, predict
    row, predict = best
    row["test_mse"] = mse(rows.test_df, predict(rows.test_df), rows.scale)
    return row


def measure_all(library, path, threads, folders):
    """Measure a library's models on every set of rows, or for two threads those that race on the planted ones."""
    release = f"{DISTRIBUTIONS[library]} {version(DISTRIBUTIONS[library])}"
    print(f"{release}, {threads} threads", flush=True)
    found = []
    for rows in map(read_rows, folders):
        planted = rows.dataset == "planted"
        print(f"{rows.dataset}, {rows.movies} movies", flush=True)
        for model in MODELS[library]:
            if (planted and model.planted is None) or (threads > 1 and not (planted and model.race)):
                continue
            n_trials = 1 if threads > 1 else PLANTED_TRIALS if planted else TRIALS
            said = {"dataset": rows.dataset, "movies": rows.movies, "model": model.name, "inputs": model.inputs}
            measured = measure(model, rows, n_trials)
            found.append(said | {"trials": n_trials, "threads": threads} | measured | {"library": release})
    columns = ["dataset", "movies", "model", "inputs", "trials", "threads", "settings", "seconds", "wall_seconds"]
    df = pl.DataFrame(found).select(*columns, "val_mse", "test_mse", "library")
    df.with_columns(pl.col("seconds", "wall_seconds").round(2), pl.col("val_mse", "test_mse").round(6)).write_csv(path)


def python_with(library):
    """Install a library into an environment of its own, the rest pinned as the course's; give its Python."""
    folder = BUILD / library
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [line for line in project["dependencies"] if line.startswith(("numpy", "polars"))]
    wanted += project["optional-dependencies"][f"peer-{library}"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = BUILD / f"{library}.constraints.txt"
    constraints.write_text("\n".join(pin for pin in pins if not pin.startswith(UNPINNED.get(library, "-"))))
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", constraints, *wanted], check=True)
    return python


def main():
    from _common import machine

    print(machine(), flush=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    folders = list(prepare())
    pythons = {library: sys.executable if library == "course" else python_with(library) for library in MODELS}
    frames = []
    for threads in (1, 2):
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LK_NUM_THREADS", "LK_NUM_BACKEND_THREADS")
        environment = os.environ | dict.fromkeys(variables, str(threads))
        environment |= {"OMP_WAIT_POLICY": "PASSIVE", "TQDM_DISABLE": "1"}
        for library, python in pythons.items():
            if threads > 1 and not any(model.race for model in MODELS[library]):
                continue
            path = BUILD / f"{library}-{threads}.csv"
            subprocess.run([python, __file__, library, path, str(threads), *folders], check=True, env=environment)
            frames.append(pl.read_csv(path, schema_overrides={"movies": pl.String}))
    rows_df = pl.concat(frames)
    table = Path(__file__).with_name("peers.csv")
    if table.exists():
        kept_df = pl.read_csv(table, schema_overrides=rows_df.schema)
        if kept_df.columns == rows_df.columns:
            rows_df = pl.concat([kept_df.join(rows_df, on="dataset", how="anti"), rows_df])
    rows_df = rows_df.sort("dataset", pl.col("movies") != "all", maintain_order=True)
    rows_df.write_csv(table)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, fmt_str_lengths=80, tbl_width_chars=200):
        print(rows_df)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure_all(sys.argv[1], sys.argv[2], int(sys.argv[3]), [Path(folder) for folder in sys.argv[4:]])
    else:
        main()
