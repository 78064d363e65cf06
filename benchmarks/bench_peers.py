"""Measure published libraries on the course's own rows: validation and test MSE, and seconds to fit.

Every library learns from the same 70 % of the ratings that the notebooks learn from, and nothing is tuned beyond what the
names say. Predictions are clipped to 0.5 to 5 stars. Seconds are of processor time, which other programs disturb less. The
first two models are the course's own; by the first of them notebook 05 finds that it has the same rows.

    pip install --editable '.[peers]'
    python benchmarks/bench_peers.py     # on two cores some five minutes; writes benchmarks/peers.csv, prints it
"""

import os
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl
import torch
from myfm import MyFMRegressor
from sklearn.preprocessing import OneHotEncoder
from surprise import SVD, BaselineOnly, Dataset, Reader, SVDpp

import utilities

IDS = ["userId", "movieId"]


def fit_bias(train_df, users_df, movies_df):
    return utilities.BiasBaseline.fit(train_df, regularization=5).predict


def fit_bayesian(train_df, users_df, movies_df):
    model = utilities.BayesianFactorization.fit(train_df, users_df.height, utilities.movie_features(movies_df))
    return lambda df: model.predict(df)["prediction"]


def surprise(algorithm):
    def fit(train_df, users_df, movies_df):
        rows = Dataset.load_from_df(train_df.select(*IDS, "rating").to_pandas(), Reader(rating_scale=(0.5, 5)))
        algorithm.fit(rows.build_full_trainset())
        return lambda df: [algorithm.predict(user, movie).est for user, movie in df.select(IDS).iter_rows()]

    return fit


def myfm(rank, sweeps, burn_in):
    def fit(train_df, users_df, movies_df):
        encoder = OneHotEncoder(handle_unknown="ignore")
        rows = encoder.fit_transform(train_df.select(IDS).to_numpy())
        sizes = [len(ids) for ids in encoder.categories_]
        model = MyFMRegressor(rank=rank, random_seed=0)
        model.fit(
            rows, train_df["rating"].to_numpy(), n_iter=sweeps, n_kept_samples=sweeps - burn_in, group_shapes=sizes
        )
        return lambda df: np.clip(model.predict(encoder.transform(df.select(IDS).to_numpy())), 0.5, 5)

    return fit


MODELS = {
    "bias baseline": fit_bias,
    "Bayesian factorisation": fit_bayesian,
    "Surprise BaselineOnly": surprise(BaselineOnly(verbose=False)),
    "Surprise SVD, 100 factors": surprise(SVD(n_factors=100, random_state=0)),
    "Surprise SVD, 5 factors": surprise(SVD(n_factors=5, random_state=0)),
    "Surprise SVD++, 20 factors": surprise(SVDpp(n_factors=20, random_state=0)),
    "myFM, rank 10": myfm(rank=10, sweeps=200, burn_in=50),
}


def measure(n_movies):
    ratings_df = utilities.load_ratings()
    top_movies_df = utilities.get_most_frequent_movies(ratings_df, n_movies)
    ratings_df = ratings_df.join(top_movies_df, on="movieId", how="semi", maintain_order="left")
    ratings_df, users_df, movie_id_mapping = utilities.map_users_and_movies(ratings_df)
    movies_df = movie_id_mapping.join(utilities.load_movies(), on="movieId", how="left", maintain_order="left")
    train_df, val_df, test_df = utilities.split_train_test(ratings_df)
    for name, fit in MODELS.items():
        start = time.process_time()
        predict = fit(train_df, users_df, movies_df)
        row = {"dataset": utilities.settings().dataset, "movies": str(n_movies or "all"), "model": name}
        row["seconds"] = round(time.process_time() - start, 1)
        for part, df in (("val", val_df), ("test", test_df)):
            row[f"{part}_mse"] = round(utilities.rating_metrics(df["rating"], predict(df))["mse"], 6)
        print(row, flush=True)
        yield row


def main():
    torch.set_num_threads(1)
    print(utilities.settings(), *(f"{name} {version(name)}" for name in ("scikit-surprise", "myfm", "torch")), sep="\n")
    rows_df = pl.DataFrame([row for n_movies in (None, utilities.settings().top_movies) for row in measure(n_movies)])
    rows_df.write_csv(Path(__file__).with_name("peers.csv"))


if __name__ == "__main__":
    main()
