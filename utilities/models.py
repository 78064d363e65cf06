"""The architectures of the course, as the notebooks define them.

Generated from the notebooks' cells tagged `export` by `make refresh`: edit those, not this file.
"""

import math

import torch
from torch import nn

import utilities


class InnerProduct(utilities.RatingModel):
    """The dot product of two embeddings, squeezed onto the scale by a sigmoid."""

    def __init__(self, n_users, n_movies, mean_rating, scale,
                 embedding_size=5, init_std=1.0, learning_rate=5e-3):  # fmt: skip
        super().__init__(learning_rate)
        self.save_hyperparameters()
        self.user_embedding = nn.Embedding(n_users, embedding_size)
        self.movie_embedding = nn.Embedding(n_movies, embedding_size)
        for embedding in (self.user_embedding, self.movie_embedding):
            nn.init.normal_(embedding.weight, std=init_std)
        self.output = nn.Linear(1, 1)
        self.lowest, self.width = scale.lowest, scale.highest - scale.lowest
        share = (mean_rating - self.lowest) / self.width
        nn.init.ones_(self.output.weight)
        nn.init.constant_(self.output.bias, math.log(share / (1 - share)))

    def forward(self, user_ids, movie_ids):
        rows = self.user_embedding(user_ids), self.movie_embedding(movie_ids)
        dots = (rows[0] * rows[1]).sum(dim=1, keepdim=True)
        return self.lowest + self.width * torch.sigmoid(self.output(dots)).squeeze(dim=1)


class RegularizedInnerProduct(InnerProduct):
    """`InnerProduct` with a price on the length of the rows looked up."""

    def __init__(self, *args, l2=0.1, **kwargs):
        super().__init__(*args, **kwargs)
        self.save_hyperparameters("l2")

    def penalty(self, user_ids, movie_ids):
        users, movies = self.user_embedding(user_ids), self.movie_embedding(movie_ids)
        return self.hparams.l2 * (users.square().sum(1) + movies.square().sum(1)).mean()


class BiasedInnerProduct(utilities.RatingModel):
    """μ + b_u + b_i + p_u·q_i, with a price on all rows looked up."""

    def __init__(self, n_users, n_movies, mean_rating, scale, embedding_size=5, init_std=0.02, l2=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.mean = nn.Parameter(torch.tensor(mean_rating))
        self.user_bias, self.movie_bias = nn.Embedding(n_users, 1), nn.Embedding(n_movies, 1)
        self.user_embedding = nn.Embedding(n_users, embedding_size)
        self.movie_embedding = nn.Embedding(n_movies, embedding_size)
        tables = (self.user_bias, self.movie_bias, self.user_embedding, self.movie_embedding)
        for table, std in zip(tables, (0, 0, init_std, init_std), strict=True):
            nn.init.normal_(table.weight, std=std)

    def forward(self, user_ids, movie_ids):
        biases = self.mean + (self.user_bias(user_ids) + self.movie_bias(movie_ids)).squeeze(dim=1)
        dots = (self.user_embedding(user_ids) * self.movie_embedding(movie_ids)).sum(dim=1)
        return biases + dots if self.training else (biases + dots).clamp(*self.hparams.scale[:2])

    def penalty(self, user_ids, movie_ids):
        users = (self.user_bias(user_ids), self.user_embedding(user_ids))
        movies = (self.movie_bias(movie_ids), self.movie_embedding(movie_ids))
        return self.hparams.l2 * sum(rows.square().sum(1).mean() for rows in (*users, *movies))


class FirstAttempt(utilities.RatingModel):
    """Wrong on purpose: adds predictions of shape `[B, 1]` to biases of shape `[B]`."""

    def __init__(self, n_users, n_movies, mean_rating, embedding_size=5):
        super().__init__()
        self.user_embedding = nn.Embedding(n_users, embedding_size)
        self.movie_embedding = nn.Embedding(n_movies, embedding_size)
        self.user_bias = nn.Parameter(torch.zeros(n_users))
        self.movie_bias = nn.Parameter(torch.zeros(n_movies))
        self.output = nn.Linear(2 * embedding_size, 1)
        nn.init.constant_(self.output.bias, mean_rating)

    def forward(self, user_ids, movie_ids):
        both = torch.cat([self.user_embedding(user_ids), self.movie_embedding(movie_ids)], dim=1)
        return self.output(both) + self.user_bias[user_ids] + self.movie_bias[movie_ids]


class ConcatBias(utilities.RatingModel):
    """A linear layer on two embeddings, plus a bias for each user and movie."""

    def __init__(self, n_users, n_movies, mean_rating, scale, embedding_size=5, init_std=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.user_embedding = nn.Embedding(n_users, embedding_size)
        self.movie_embedding = nn.Embedding(n_movies, embedding_size)
        self.user_bias, self.movie_bias = nn.Embedding(n_users, 1), nn.Embedding(n_movies, 1)
        self.output = nn.Linear(2 * embedding_size, 1)
        nn.init.constant_(self.output.bias, mean_rating)
        for embedding in (self.user_embedding, self.movie_embedding):
            nn.init.normal_(embedding.weight, std=init_std)
        for bias in (self.user_bias, self.movie_bias):
            nn.init.zeros_(bias.weight)

    def score(self, user_ids, movie_ids):
        both = torch.cat([self.user_embedding(user_ids), self.movie_embedding(movie_ids)], dim=1)
        biases = self.user_bias(user_ids) + self.movie_bias(movie_ids)
        return (self.output(both) + biases).squeeze(dim=1)

    def forward(self, user_ids, movie_ids):
        ratings = self.score(user_ids, movie_ids)
        return ratings if self.training else ratings.clamp(*self.hparams.scale[:2])


def dense_network(width, hidden, dropout):
    """Hidden layers of these widths, each with a ReLU and dropout behind it, and one output."""
    layers = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, 1))


class NeuralCollaborativeFilter(ConcatBias):
    """`ConcatBias` with hidden layers in the place of its linear one, and a price on the rows looked up."""

    def __init__(
        self,
        n_users,
        n_movies,
        mean_rating,
        scale,
        embedding_size=16,
        hidden=(32,),
        dropout=0.3,
        l2=0.03,
    ):
        super().__init__(n_users, n_movies, mean_rating, scale, embedding_size)
        self.save_hyperparameters()
        self.output = dense_network(2 * embedding_size, hidden, dropout)
        nn.init.constant_(self.output[-1].bias, mean_rating)

    def penalty(self, user_ids, movie_ids):
        users, movies = self.user_embedding(user_ids), self.movie_embedding(movie_ids)
        return self.hparams.l2 * (users.square().sum(1) + movies.square().sum(1)).mean()
