"""The size of ml-25m: an archive of its shape, converted, loaded and trained on, each step in a process of its own."""

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import polars as pl

FOLDER = Path(__file__).resolve().parents[1] / "build" / "bench"
ZIP = FOLDER / "ml-25m.zip"
N_USERS, N_MOVIES, N_RATINGS = 162_541, 59_047, 25_000_095
GENRES = np.array(["Action", "Comedy", "Drama", "Horror", "Romance", "Sci-Fi"])
EPOCH_BATCHES_PLAIN = 200  # the default loader would take minutes for a whole epoch
BATCH_SIZE = 4096


def make_archive() -> None:
    """Write ml-25m's files with ratings of a planted low-rank structure: long tails of users and of movies."""
    rng = np.random.default_rng(0)
    movie_ids = np.sort(rng.choice(np.arange(1, 209_172), N_MOVIES, replace=False))
    users, movies = who_rates_what(rng)
    ratings = planted_ratings(rng, users, movies)
    start = rng.integers(790_000_000, 1_560_000_000, N_USERS)
    ratings_df = pl.DataFrame(
        {
            "userId": users + 1,
            "movieId": movie_ids[movies],
            "rating": ratings,
            "timestamp": start[users] + rng.integers(0, 10_000_000, len(users)),
        }
    )
    movies_df = pl.DataFrame(
        {
            "movieId": movie_ids,
            "title": [f"Film, The {movie} ({1920 + movie % 100})" for movie in movie_ids],
            "genres": ["|".join(GENRES[: 1 + movie % 3]) for movie in movie_ids],
        }
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    csv, partial = FOLDER / "table.csv", ZIP.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name, df in (("ratings", ratings_df), ("movies", movies_df)):
            df.write_csv(csv)
            archive.write(csv, f"ml-25m/{name}.csv")
    csv.unlink()
    partial.replace(ZIP)


def who_rates_what(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw distinct pairs (user, movie), sorted: 20 to thousands a user, one to 80,000 a movie."""
    activity = 20 + rng.lognormal(4.1, 1.35, N_USERS)
    popularity = rng.permutation((np.arange(N_MOVIES) + 330.0) ** -1.8)
    drawn = rng.multinomial(round(1.35 * N_RATINGS), activity / activity.sum())
    users = np.repeat(np.arange(N_USERS), drawn)
    movies = rng.choice(N_MOVIES, len(users), p=popularity / popularity.sum())
    each_once = rng.integers(0, N_USERS, N_MOVIES) * N_MOVIES + np.arange(N_MOVIES)
    each_user = np.arange(N_USERS) * N_MOVIES + rng.choice(N_MOVIES, N_USERS, p=popularity / popularity.sum())
    kept = np.union1d(each_once, each_user)
    rest = np.setdiff1d(users * N_MOVIES + movies, kept)
    pairs = np.sort(np.concatenate([kept, rng.choice(rest, N_RATINGS - len(kept), replace=False, shuffle=False)]))
    return pairs // N_MOVIES, pairs % N_MOVIES


def planted_ratings(rng: np.random.Generator, users: np.ndarray, movies: np.ndarray, rank: int = 8) -> np.ndarray:
    """Rate by μ + b_u + b_i + p_u·q_i and noise, in half stars."""
    b_u, b_i = rng.normal(0, 0.4, N_USERS), rng.normal(0, 0.45, N_MOVIES)
    p_u, q_i = rng.normal(0, 0.42, (N_USERS, rank)), rng.normal(0, 0.42, (N_MOVIES, rank))
    stars = 3.53 + b_u[users] + b_i[movies] + rng.normal(0, 0.7, len(users))
    for k in range(rank):
        stars += p_u[users, k] * q_i[movies, k]
    return np.clip(np.round(stars * 2) / 2, 0.5, 5.0)


# The steps: each returns its result as a dict of numbers; times leave out the imports.


def convert() -> dict:
    """Zip → parquet, the package's way: checksum, unpacking, checks and all."""
    from utilities import datasets

    for table in FOLDER.glob("*.parquet"):
        table.unlink()
    return timed(lambda: datasets.scan_ratings("ml-25m"))


def convert_plain() -> dict:
    """Unpack, read_csv, sort, write_parquet."""

    def run():
        with zipfile.ZipFile(ZIP) as archive:
            archive.extract("ml-25m/ratings.csv", FOLDER)
        ratings_df = pl.read_csv(FOLDER / "ml-25m" / "ratings.csv").sort("userId", "timestamp", "movieId")
        ratings_df.write_parquet(FOLDER / "plain.parquet")

    return timed(run)


def load() -> dict:
    """load_torch_data after the conversion."""
    import utilities

    return timed(lambda: utilities.load_torch_data("ml-25m"))


def load_plain() -> dict:
    """The same from the CSV: read_csv, the 50 most-rated movies, the mappings."""
    from utilities import frames

    def run():
        ratings_df = pl.read_csv(FOLDER / "ml-25m" / "ratings.csv").sort("userId", "timestamp", "movieId")
        top_df = ratings_df.group_by("movieId").len().top_k(50, by="len")
        frames.map_users_and_movies(ratings_df.join(top_df, on="movieId", how="semi", maintain_order="left"))

    return timed(run)


def epoch(n_movies: int, k: int, *, plain: bool = False) -> dict:
    """Time an epoch of training, validation left out; of the default loader's, the first batches."""
    import torch
    from torch import nn

    import utilities
    from utilities.loaders import RatingsDataset

    class BiasedInnerProduct(utilities.RatingModel):
        def __init__(self, n_users, n_movies):
            super().__init__()
            self.users, self.movies = nn.Embedding(n_users, k), nn.Embedding(n_movies, k)
            self.user_bias, self.movie_bias = nn.Embedding(n_users, 1), nn.Embedding(n_movies, 1)
            for table in (self.users, self.movies, self.user_bias, self.movie_bias):
                nn.init.normal_(table.weight, 0, 0.05)

        def forward(self, users, movies):
            interaction = (self.users(users) * self.movies(movies)).sum(1)
            return 3.5 + interaction + self.user_bias(users).squeeze(1) + self.movie_bias(movies).squeeze(1)

    torch.manual_seed(0)
    ratings_df, users_df, movies_df = utilities.load_torch_data("ml-25m", n_movies)
    if plain:
        train_df, _, _ = utilities.split_train_test(ratings_df)
        dataset = torch.utils.data.TensorDataset(*RatingsDataset(train_df)[:])
        train = torch.utils.data.DataLoader(dataset, BATCH_SIZE, shuffle=True)
        del train_df
    else:
        train = utilities.get_data_loaders(ratings_df, batch_size=BATCH_SIZE).train
    n_rows = min(len(train.dataset), EPOCH_BATCHES_PLAIN * BATCH_SIZE if plain else len(train.dataset))
    del ratings_df
    model = BiasedInnerProduct(users_df.height, movies_df.height)
    warnings.filterwarnings("ignore", ".*no `val_dataloader`.*")
    trainer = utilities.make_trainer(
        1,
        enable_progress_bar=False,
        enable_checkpointing=False,
        limit_train_batches=EPOCH_BATCHES_PLAIN if plain else None,
        logger=False,
    )
    result = timed(lambda: trainer.fit(model, train))
    return result | {"rows": n_rows, "loss": float(trainer.callback_metrics["train_loss"])}


STEPS = {
    "convert": ("zip → parquet", convert),
    "convert-plain": ("… unpack, read_csv, sort, write", convert_plain),
    "load": ("load_torch_data", load),
    "load-plain": ("… read_csv, sort, join, map", load_plain),
    "epoch-50": ("an epoch, 50 movies, k=32", lambda: epoch(50, 32)),
    "epoch-50-plain": ("… default loader, 200 batches", lambda: epoch(50, 32, plain=True)),
    "epoch-all": ("an epoch, all movies, k=32", lambda: epoch(N_MOVIES, 32)),
    "epoch-all-plain": ("… default loader, 200 batches", lambda: epoch(N_MOVIES, 32, plain=True)),
}


def timed(function) -> dict:
    """Time a call: wall clock, and CPU time of all threads, which other work on the machine changes less."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def run_step(name: str) -> dict:
    """Run a step in a process of its own, and add its peak memory."""
    environ = os.environ | {"MOVIELENS_DATA_DIR": str(FOLDER)}
    process = subprocess.Popen(
        [sys.executable, __file__, "--step", name], stdout=subprocess.PIPE, env=environ, text=True
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"the step {name} failed")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return json.loads(output.splitlines()[-1]) | {"peak_mb": usage.ru_maxrss / unit}


def register_archive() -> None:
    """Make the archive's checksum the one of the release."""
    from utilities.releases import RELEASES

    with ZIP.open("rb") as file:
        checksum = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    RELEASES["ml-25m"] = dataclasses.replace(RELEASES["ml-25m"], checksum=checksum)


def main() -> None:
    """Make the archive if it is not there, run the steps, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", choices=STEPS, help="run this one, in this process, and print its numbers as JSON")
    parser.add_argument("--archive", action="store_true", help="only make the archive")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=STEPS,
        default=list(STEPS),
        help="the steps to run; load needs a conversion made before, load-plain a convert-plain in the same run",
    )
    arguments = parser.parse_args()
    if arguments.step:
        register_archive()
        print(json.dumps(STEPS[arguments.step][1]()))
        return
    if arguments.archive:
        make_archive()
        return
    if not ZIP.exists():
        print(f"making {ZIP} (some minutes, once)", file=sys.stderr)
        # In another process: on Linux the steps would inherit its peak memory as theirs.
        subprocess.run([sys.executable, __file__, "--archive"], check=True)
    print("| step | seconds | CPU seconds | peak MB | rows/s |\n|---|---:|---:|---:|---:|")
    for name in arguments.only:
        r = run_step(name)
        rows = f"{r['rows'] / r['seconds']:,.0f}" if "rows" in r else ""
        print(
            f"| {STEPS[name][0]} | {r['seconds']:.1f} | {r['cpu_seconds']:.1f} | {r['peak_mb']:,.0f} | {rows} |",
            flush=True,
        )
    shutil.rmtree(FOLDER / "ml-25m", ignore_errors=True)
    (FOLDER / "plain.parquet").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
