"""Train with each batch size at each of eleven learning rates, five seeds each, and keep the error by epoch.

What varies: the spread of the first weights, the batch size, Adam's learning rate, and the seed of the first weights and of
the order of the rows. The rest is notebook 04's: the built-in sample, its split, `InnerProduct`, a bare loop. Every size
gets the same rates, and at least the updates of ten epochs of the default size. `batch_size.csv` has a row for each fit and
number of epochs: the lowest validation MSE so far. On one core it takes some five minutes.
"""

import math
import os
from itertools import product
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import polars as pl
import pytorch_lightning as lightning
import torch
from torch.nn import functional as F

import utilities
from utilities.models import InnerProduct

STDS = [0.1, 0.01]  # of the first weights
SIZES = [2**8, 2**10, 2**12, 2**14, 2**15]  # the last is all training rows in one batch
RATES = [5e-3 * 2.0**power for power in range(-3, 8)]
SEEDS = range(5)
N_UPDATES = 310  # ten epochs of the default size, 1,024
EPOCHS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 39, 50, 80, 100, 155, 200, 310]


def main() -> None:
    """Write the table beside this file."""
    ratings_df, users_df, movie_ids_df = utilities.load_torch_data("built-in")
    loaders = utilities.get_data_loaders(ratings_df)
    train, val = loaders.train.dataset[:], loaders.val.dataset[:]  # user ids, movie ids, ratings
    mean_rating = utilities.split_train_test(ratings_df)[0]["rating"].mean()
    counts = users_df.height, movie_ids_df.height
    rows = []
    for std, size, rate, seed in product(STDS, SIZES, RATES, SEEDS):
        steps = math.ceil(len(train[-1]) / size)
        n_epochs = max(10, round(N_UPDATES / steps))
        lightning.seed_everything(seed, verbose=False)
        model = InnerProduct(*counts, mean_rating, utilities.rating_scale("built-in"), init_std=std)
        losses = learn(model, train, val, size, rate, n_epochs)
        rows += [(std, size, rate, seed, n, n * steps, round(min(losses[:n]), 4)) for n in EPOCHS if n <= n_epochs]
    columns = ["init_std", "batch_size", "learning_rate", "seed", "epochs", "updates", "best_val_mse"]
    pl.DataFrame(rows, columns, orient="row").write_csv(Path(__file__).with_suffix(".csv"))


def learn(model, train, val, batch_size: int, learning_rate: float, n_epochs: int) -> list[float]:
    """Train with plain Adam and give the validation MSE after each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    losses = []
    for _ in range(n_epochs):
        for row_ids in torch.randperm(len(train[-1])).split(batch_size):
            user_ids, movie_ids, ratings = (column.index_select(0, row_ids) for column in train)
            loss = F.mse_loss(model(user_ids, movie_ids), ratings)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            losses.append(F.mse_loss(model(val[0], val[1]), val[2]).item())
    return losses


if __name__ == "__main__":
    main()
