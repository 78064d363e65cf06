"""Models and ratings small enough to check by hand; imported by the tests and by the scripts they start."""

import numpy as np
import polars as pl
import torch
from torch import nn

from utilities import RatingModel

N_USERS, N_MOVIES = 20, 15


def mapped_ratings_df(n_rows: int) -> pl.DataFrame:
    """Draw ratings with mapped ids, always the same; `row` numbers them."""
    rng = np.random.default_rng(0)
    users, movies = rng.integers(0, N_USERS, n_rows), rng.integers(0, N_MOVIES, n_rows)
    return pl.DataFrame(
        {
            "row": np.arange(n_rows),
            "userIdMapped": users.astype("uint32"),
            "movieIdMapped": movies.astype("uint32"),
            "rating": rng.integers(1, 11, n_rows) / 2,
        }
    )


class BiasModel(RatingModel):
    """r̂_ui = 3.5 + b_u + b_i, all biases 0 before training."""

    def __init__(self, n_users: int = N_USERS, n_movies: int = N_MOVIES, learning_rate: float = 0.05):
        super().__init__(learning_rate)
        self.save_hyperparameters()
        self.user_biases = nn.Embedding.from_pretrained(torch.zeros(n_users, 1), freeze=False)
        self.movie_biases = nn.Embedding.from_pretrained(torch.zeros(n_movies, 1), freeze=False)

    def forward(self, user_ids, movie_ids):
        return 3.5 + (self.user_biases(user_ids) + self.movie_biases(movie_ids)).squeeze(1)


class ScheduledModel(RatingModel):
    """Predicts `levels[epoch]` stars for everything, whatever it is trained on."""

    def __init__(self, levels: list[float]):
        super().__init__(learning_rate=0.0)
        self.levels = levels
        self.level = nn.Parameter(torch.tensor(0.0))

    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        self.level.data.fill_(self.levels[self.current_epoch])

    def forward(self, user_ids, movie_ids):
        return self.level.expand(len(user_ids))
