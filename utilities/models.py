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
        super().__init__(learning_rate, star=scale.star)
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

    def __init__(self, n_users, n_movies, mean_rating, scale,
                 embedding_size=5, init_std=0.02, l2=0.1):  # fmt: skip
        super().__init__(star=scale.star)
        self.save_hyperparameters()
        self.mean = nn.Parameter(torch.tensor(mean_rating / self.star))  # it counts in stars
        self.user_bias, self.movie_bias = nn.Embedding(n_users, 1), nn.Embedding(n_movies, 1)
        self.user_embedding = nn.Embedding(n_users, embedding_size)
        self.movie_embedding = nn.Embedding(n_movies, embedding_size)
        tables = (self.user_bias, self.movie_bias, self.user_embedding, self.movie_embedding)
        for table, std in zip(tables, (0, 0, init_std, init_std), strict=True):
            nn.init.normal_(table.weight, std=std)

    def forward(self, user_ids, movie_ids):
        biases = self.mean + (self.user_bias(user_ids) + self.movie_bias(movie_ids)).squeeze(dim=1)
        dots = (self.user_embedding(user_ids) * self.movie_embedding(movie_ids)).sum(dim=1)
        ratings = self.star * (biases + dots)
        return ratings if self.training else ratings.clamp(*self.hparams.scale[:2])

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


class BiasedModel(utilities.RatingModel):
    """combine(p_u, q_i) + b_u + b_i, with a price on all rows looked up."""

    def __init__(self, n_users, n_movies, scale, embedding_size, init_std, learning_rate):
        super().__init__(learning_rate, star=scale.star)
        self.user_bias, self.movie_bias = nn.Embedding(n_users, 1), nn.Embedding(n_movies, 1)
        self.user_embedding = nn.Embedding(n_users, embedding_size)
        self.movie_embedding = nn.Embedding(n_movies, embedding_size)
        nn.init.zeros_(self.user_bias.weight)
        nn.init.zeros_(self.movie_bias.weight)
        nn.init.normal_(self.user_embedding.weight, std=init_std)
        nn.init.normal_(self.movie_embedding.weight, std=init_std)

    def score(self, user_ids, movie_ids):
        both = self.combine(self.user_embedding(user_ids), self.movie_embedding(movie_ids))
        return self.star * (both + self.user_bias(user_ids) + self.movie_bias(movie_ids)).squeeze(1)

    def forward(self, user_ids, movie_ids):
        ratings = self.score(user_ids, movie_ids)
        return ratings if self.training else ratings.clamp(*self.hparams.scale[:2])

    def penalty(self, user_ids, movie_ids):
        users = self.user_bias(user_ids), self.user_embedding(user_ids)
        movies = self.movie_bias(movie_ids), self.movie_embedding(movie_ids)
        return self.hparams.l2 * sum(rows.square().sum(1).mean() for rows in (*users, *movies))


class ConcatBias(BiasedModel):
    """A linear layer on two embeddings, plus a bias for each user and movie."""

    def __init__(
        self,
        n_users,
        n_movies,
        mean_rating,
        scale,
        embedding_size=5,
        init_std=0.1,
        l2=0.0,
        learning_rate=5e-3,
    ):
        super().__init__(n_users, n_movies, scale, embedding_size, init_std, learning_rate)
        self.save_hyperparameters()
        self.output = nn.Linear(2 * embedding_size, 1)
        nn.init.constant_(self.output.bias, mean_rating / self.star)

    def combine(self, user_rows, movie_rows):
        return self.output(torch.cat([user_rows, movie_rows], dim=1))


def dense_network(n_inputs, hidden, dropout):
    """Hidden layers of these widths, each with a ReLU and dropout behind it, and one output."""
    layers = []
    for width in hidden:
        layers += [nn.Linear(n_inputs, width), nn.ReLU(), nn.Dropout(dropout)]
        n_inputs = width
    return nn.Sequential(*layers, nn.Linear(n_inputs, 1))


class NeuralCollaborativeFilter(BiasedModel):
    """A dense network on two embeddings, plus a bias for each user and movie."""

    def __init__(
        self,
        n_users,
        n_movies,
        mean_rating,
        scale,
        embedding_size=16,
        init_std=0.1,
        l2=0.03,
        learning_rate=5e-3,
        hidden=(32,),
        dropout=0.3,
    ):
        super().__init__(n_users, n_movies, scale, embedding_size, init_std, learning_rate)
        self.save_hyperparameters()
        self.output = dense_network(2 * embedding_size, hidden, dropout)
        nn.init.constant_(self.output[-1].bias, mean_rating / self.star)

    def combine(self, user_rows, movie_rows):
        return self.output(torch.cat([user_rows, movie_rows], dim=1))


class GMF(BiasedModel):
    """Generalised matrix factorisation: a weighted sum of the products of two rows, plus biases."""

    def __init__(
        self,
        n_users,
        n_movies,
        mean_rating,
        scale,
        embedding_size=32,
        init_std=0.02,
        l2=0.1,
        learning_rate=5e-3,
    ):
        super().__init__(n_users, n_movies, scale, embedding_size, init_std, learning_rate)
        self.save_hyperparameters()
        self.mean = nn.Parameter(torch.tensor(mean_rating / self.star))
        self.weights = nn.Parameter(torch.ones(embedding_size, 1))  # starts as the dot product

    def combine(self, user_rows, movie_rows):
        return self.mean + (user_rows * movie_rows) @ self.weights


class NeuMF(BiasedModel):
    """`GMF` on the first half of each row, and beside it a dense network on the second halves."""

    def __init__(
        self,
        n_users,
        n_movies,
        mean_rating,
        scale,
        embedding_size=32,
        init_std=0.02,
        l2=0.1,
        learning_rate=5e-3,
        hidden=(32,),
        dropout=0.3,
    ):
        super().__init__(n_users, n_movies, scale, embedding_size, init_std, learning_rate)
        self.save_hyperparameters()
        self.weights = nn.Parameter(torch.ones(embedding_size // 2, 1))
        self.output = dense_network(embedding_size, hidden, dropout)
        nn.init.constant_(self.output[-1].bias, mean_rating / self.star)

    def combine(self, user_rows, movie_rows):
        (p, user_half), (q, movie_half) = user_rows.chunk(2, dim=1), movie_rows.chunk(2, dim=1)
        return (p * q) @ self.weights + self.output(torch.cat([user_half, movie_half], dim=1))
