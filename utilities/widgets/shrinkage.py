"""Notebook 01: what a little more in the denominator does to means."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from utilities.releases import HALF_STARS, Scale
from utilities.widgets.base import Widget, distinct, error, fixed, on_scale, signed, titles_with_years

N_USERS = 24  # as many can be picked, from the least active to the most


class Shrinkage(Widget):
    """Biases of movies and of a user by λ, and the errors they make."""

    name = "shrinkage"

    def __init__(
        self,
        train_df: pl.DataFrame,
        movies_df: pl.DataFrame,
        errors: Mapping[int, tuple[float, float]],
        scale: Scale = HALF_STARS,
    ):
        """Take the training ratings, titles with years, and for each λ the MSE on training and on validation ratings.

        Args:
            train_df: `userId`, `movieId` and `rating`, a row for each rating.
            movies_df: `movieId`, `title` and `year`.
            errors: The two MSE by λ; these are the λ that can be chosen.
            scale: The rating scale.
        """
        titles = titles_with_years()
        by_movie = train_df.group_by("movieId").agg(n=pl.len(), sum=pl.col("rating").sum()).sort("movieId")
        by_movie = by_movie.join(
            movies_df.select("movieId", title=titles), on="movieId", how="left", maintain_order="left"
        )
        by_movie = by_movie.with_row_index("movie").with_columns(
            pl.col("title").fill_null(pl.format("movie {}", "movieId"))
        )
        counts = train_df.group_by("userId").len().sort("len", "userId")["userId"]
        picked = counts[np.linspace(0, len(counts) - 1, min(N_USERS, len(counts))).round().astype(int)]
        theirs_df = train_df.join(by_movie.select("movieId", "movie"), on="movieId").sort("movie")
        theirs = theirs_df.partition_by("userId", as_dict=True)
        users = [
            {"id": user, "movies": theirs[user,]["movie"].to_list(), "stars": theirs[user,]["rating"].to_list()}
            for user in picked.to_list()
        ]
        data = {
            "mu": train_df["rating"].mean(),
            "titles": distinct(by_movie["title"]),
            "n": by_movie["n"].to_list(),
            "sums": by_movie["sum"].round(3).to_list(),
            "users": users,
            "unit": scale.unit,
            "lams": list(errors),
            "training": [round(float(error[0]), 5) for error in errors.values()],
            "validation": [round(float(error[1]), 5) for error in errors.values()],
        }
        highest = max(range(len(data["n"])), key=lambda movie: data["sums"][movie] / data["n"][movie])
        super().__init__(data, {"lam": data["lams"][0], "user": users[0]["id"], "movie": highest})

    @classmethod
    def example(cls, scale: Scale = HALF_STARS) -> "Shrinkage":
        """Make one of ratings drawn at random."""
        draw = np.random.default_rng(0)
        n_users, n_movies, n = 40, 60, 700
        chances = np.outer(np.linspace(0.05, 1, n_users), np.linspace(0.3, 1, n_movies)).ravel()
        user, movie = np.divmod(draw.choice(chances.size, n, replace=False, p=chances / chances.sum()), n_movies)
        stars = 3.6 + draw.normal(0, 0.5, n_users)[user] + draw.normal(0, 0.4, n_movies)[movie] + draw.normal(0, 0.8, n)
        train_df = pl.DataFrame({"userId": user, "movieId": movie, "rating": on_scale(stars, scale)})
        titles = [f"Movie {i}" for i in range(n_movies)]
        movies_df = pl.DataFrame({"movieId": range(n_movies), "title": titles, "year": 1990})
        square = ((scale.highest - scale.lowest) / 4.5) ** 2
        errors = {
            lam: (square * (0.6 + lam / 200), square * (0.7 + (lam - 4) ** 2 / 5000)) for lam in (0, 1, 2, 4, 8, 16, 32)
        }
        return cls(train_df, movies_df, errors, scale)

    def movie_bias(self, movie: int, lam: float) -> tuple[float, float]:
        """Give the sum of a movie's deviations, and its bias."""
        data = self.data
        total = data["sums"][movie] - data["n"][movie] * data["mu"]
        return total, total / (lam + data["n"][movie])

    def user_bias(self, user: Mapping[str, Any], lam: float) -> tuple[float, float]:
        """Give the sum of what the movies' biases leave of a user's deviations, and the user's bias."""
        total = 0.0
        for movie, stars in zip(user["movies"], user["stars"], strict=True):
            total += stars - self.data["mu"] - self.movie_bias(movie, lam)[1]
        return total, total / (lam + len(user["movies"]))

    @property
    def value(self) -> dict[str, float]:
        """λ, its two errors, the user with n ratings and b_u, the movie's title and b_i."""
        data, lam = self.data, self.state["lam"]
        user, place = self._user(self.state), data["lams"].index(lam)
        return {
            "lam": lam,
            "training": data["training"][place],
            "validation": data["validation"][place],
            "user": user["id"],
            "n_u": len(user["movies"]),
            "b_u": self.user_bias(user, lam)[1],
            "movie": data["titles"][self.state["movie"]],
            "b_i": self.movie_bias(self.state["movie"], lam)[1],
        }

    def _user(self, state: Mapping[str, Any]) -> dict[str, Any]:
        return next(user for user in self.data["users"] if user["id"] == state["user"])

    def text(self, state: Mapping[str, Any]) -> str:
        """Say both errors, and the bias of the movie and of the user with their parts."""
        data, lam, movie = self.data, state["lam"], state["movie"]
        user, place = self._user(state), data["lams"].index(lam)
        of_movie = _bias(self.movie_bias(movie, lam), self.movie_bias(movie, 0), lam, data["n"][movie])
        of_user = _bias(self.user_bias(user, lam), self.user_bias(user, 0), lam, len(user["movies"]))
        return (
            f"λ = {lam}: MSE {error(data['training'][place])} on training, "
            f"{error(data['validation'][place])} on validation ratings. "
            f"{data['titles'][movie]}: {of_movie}. User {user['id']}: {of_user}."
        )

    def picture(self):
        """Show the funnel without λ and with one, and the errors of each λ."""
        data = self.data
        fig, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.5), width_ratios=[1.7, 1], layout="constrained")
        for lam, marker, color in ((0, ".", "0.7"), (data["lams"][-1], "x", "C0")):
            means = [data["mu"] + self.movie_bias(movie, lam)[1] for movie in range(len(data["n"]))]
            left.scatter(data["n"], means, s=14, marker=marker, color=color, linewidths=0.8, label=f"λ = {lam}")
        left.axhline(data["mu"], color="0.2", linestyle=":", label="μ")
        left.set(xlabel="training ratings of the movie", ylabel=f"μ + b ({data['unit']})")
        left.legend()
        for part, style in (("training", "--o"), ("validation", "-s")):
            right.plot(data[part], style, label=part, markersize=4)
        right.set_xticks(range(len(data["lams"])), data["lams"], fontsize=8)
        right.set(xlabel="λ (ratings)", ylabel=f"MSE ({data['unit']}²)")
        right.legend()
        fig.suptitle("λ pulls the means of few ratings towards μ most")
        return fig


def _bias(now: tuple[float, float], plain: tuple[float, float], lam: float, n: int) -> str:
    before = f" (λ = 0: {fixed(plain[0], 2)} / {n} = {signed(plain[1], 3)})" if lam else ""
    return f"b = {fixed(now[0], 2)} / ({lam} + {n}) = {signed(now[1], 3)}{before}"
