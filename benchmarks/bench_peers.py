"""Measure published libraries on the course's own rows: validation and test MSE, and seconds to fit.

Every library learns from the same 70 % of the ratings that the notebooks learn from, and nothing is tuned beyond what the
names say. Predictions are clipped to the scale. Seconds are of processor time, which other programs disturb less. The
first two models are the course's own; by the first of them notebook 05 finds that it has the same rows.

    make peers     # on two cores some ten minutes, most of them to install; writes benchmarks/peers.csv, prints it

What one library needs another does not bear, so each is installed with the course into an environment of its own, below
`build/peers/`, where this script is called again with the library's name and a file for its rows.
"""

import os
import subprocess
import sys
import time
import venv
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl
import torch
from sklearn.preprocessing import OneHotEncoder

import utilities

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "peers"
IDS = ["userId", "movieId"]


def fit_bias(train_df, users_df, movies_df):
    return utilities.BiasBaseline.fit(train_df, 5, utilities.rating_scale()).predict


def fit_bayesian(train_df, users_df, movies_df):
    model = utilities.BayesianFactorization.fit(
        train_df, users_df.height, utilities.movie_features(movies_df), utilities.rating_scale()
    )
    return lambda df: model.predict(df)["prediction"]


def surprise(name, **options):
    def fit(train_df, users_df, movies_df):
        from surprise import Dataset, Reader, prediction_algorithms

        algorithm = getattr(prediction_algorithms, name)(**options)
        rows = Dataset.load_from_df(
            train_df.select(*IDS, "rating").to_pandas(), Reader(rating_scale=utilities.rating_scale()[:2])
        )
        algorithm.fit(rows.build_full_trainset())
        return lambda df: [algorithm.predict(user, movie).est for user, movie in df.select(IDS).iter_rows()]

    return fit


def myfm(rank, sweeps, burn_in):
    def fit(train_df, users_df, movies_df):
        from myfm import MyFMRegressor

        encoder = OneHotEncoder(handle_unknown="ignore")
        rows = encoder.fit_transform(train_df.select(IDS).to_numpy())
        sizes = [len(ids) for ids in encoder.categories_]
        model = MyFMRegressor(rank=rank, random_seed=0)
        model.fit(
            rows, train_df["rating"].to_numpy(), n_iter=sweeps, n_kept_samples=sweeps - burn_in, group_shapes=sizes
        )
        return lambda df: np.clip(
            model.predict(encoder.transform(df.select(IDS).to_numpy())), *utilities.rating_scale()[:2]
        )

    return fit


MODELS = {
    "course": {"bias baseline": fit_bias, "Bayesian factorisation": fit_bayesian},
    "surprise": {
        "Surprise BaselineOnly": surprise("BaselineOnly", verbose=False),
        "Surprise SVD, 100 factors": surprise("SVD", n_factors=100, random_state=0),
        "Surprise SVD, 5 factors": surprise("SVD", n_factors=5, random_state=0),
        "Surprise SVD++, 20 factors": surprise("SVDpp", n_factors=20, random_state=0),
    },
    "myfm": {"myFM, rank 10": myfm(rank=10, sweeps=200, burn_in=50)},
}
DISTRIBUTIONS = {"course": "torch", "surprise": "scikit-surprise", "myfm": "myfm"}


def measure(models, n_movies):
    ratings_df = utilities.load_ratings()
    top_movies_df = utilities.get_most_frequent_movies(ratings_df, n_movies)
    ratings_df = ratings_df.join(top_movies_df, on="movieId", how="semi", maintain_order="left")
    ratings_df, users_df, movie_id_mapping = utilities.map_users_and_movies(ratings_df)
    movies_df = movie_id_mapping.join(utilities.load_movies(), on="movieId", how="left", maintain_order="left")
    train_df, val_df, test_df = utilities.split_train_test(ratings_df)
    for name, fit in models.items():
        start = time.process_time()
        predict = fit(train_df, users_df, movies_df)
        row = {"dataset": utilities.settings().dataset, "movies": str(n_movies or "all"), "model": name}
        row["seconds"] = round(time.process_time() - start, 1)
        for part, df in (("val", val_df), ("test", test_df)):
            row[f"{part}_mse"] = round(utilities.rating_metrics(df["rating"], predict(df))["mse"], 6)
        print(row, flush=True)
        yield row


def measure_all(library, path):
    torch.set_num_threads(1)
    if library != "course":
        import_module(library)  # which is not part of anybody's fit
    print(f"{DISTRIBUTIONS[library]} {version(DISTRIBUTIONS[library])}", flush=True)
    sizes = (None, utilities.settings().top_movies)
    pl.DataFrame([row for n_movies in sizes for row in measure(MODELS[library], n_movies)]).write_csv(path)


def python_with(library):
    """Install a library and the course into an environment of their own; give its Python."""
    folder = BUILD / library
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", "constraints.txt", "--editable", f".[peer-{library}]"], cwd=ROOT, check=True)
    return python


def main():
    print(utilities.settings(), flush=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    frames = []
    for library in MODELS:
        python = sys.executable if library == "course" else python_with(library)
        path = BUILD / f"{library}.csv"
        subprocess.run([python, __file__, library, path], check=True)
        frames.append(pl.read_csv(path, schema_overrides={"movies": pl.String}))
    rows_df = pl.concat(frames).sort(pl.col("movies") != "all", maintain_order=True)
    rows_df.write_csv(Path(__file__).with_name("peers.csv"))


if __name__ == "__main__":
    measure_all(*sys.argv[1:]) if len(sys.argv) == 3 else main()
