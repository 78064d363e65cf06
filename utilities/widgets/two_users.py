"""Notebook 03: how two users' predictions differ from movie to movie, with a hidden layer and without."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import polars as pl

from utilities.widgets.base import Widget, fixed

FLAT = 0.005  # stars
TIE = -1e-9  # stars²; predictions are kept to five digits


class TwoUsers(Widget):
    """The difference of two users over well-known movies: flat if the model is a sum, and not with a hidden layer."""

    name = "two_users"

    def __init__(
        self,
        users: Sequence[int],
        titles: Sequence[str],
        linear: Sequence[Sequence[float]],
        network: Sequence[Sequence[float]],
    ):
        """Take the users' numbers, the movies' titles, and both models' predictions, a row a user and a number a movie."""
        names, titles = [f"user {user}" for user in users], [_short(title) for title in titles]
        models = {"linear": linear, "network": network}
        for model, rows in models.items():
            if (found := [len(row) for row in rows]) != [len(titles)] * len(names):
                raise ValueError(
                    f"{model} must have {len(names)} rows of {len(titles)}, a row a user; they are {found}"
                )
        models = {model: [[round(float(value), 5) for value in row] for row in rows] for model, rows in models.items()}
        state = {"first": names[0], "second": names[1], "hidden": False, "movie": titles[0]}
        super().__init__({"users": names, "movies": titles, **models}, state)

    @classmethod
    def example(cls) -> "TwoUsers":
        """Give a widget with made-up users, whose tastes are waves."""
        users, movies = range(12), range(48)
        linear = [[3.4 + math.sin(7 * user) / 2 + math.sin(5 * movie) / 2 for movie in movies] for user in users]
        taste = [[math.sin(3 * user + movie) / 3 for movie in movies] for user in users]
        network = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(linear, taste, strict=True)]
        return cls(users, [f"Movie {movie + 1}" for movie in movies], linear, network)

    def predictions(self, state: Mapping[str, Any]) -> tuple[list[float], list[float]]:
        """Give what the model chosen predicts for both users."""
        rows = self.data["network" if state["hidden"] else "linear"]
        return tuple(rows[self.data["users"].index(state[user])] for user in ("first", "second"))

    def compare(self, state: Mapping[str, Any]) -> dict[str, float]:
        """Give the least and the largest difference, and about how many pairs of movies the two disagree."""
        first, second = self.predictions(state)
        differences = [a - b for a, b in zip(first, second, strict=True)]
        pairs = list(itertools.combinations(range(len(first)), 2))
        n = sum((first[i] - first[j]) * (second[i] - second[j]) < TIE for i, j in pairs)
        return {"from": min(differences), "to": max(differences), "disagreements": n, "pairs": len(pairs)}

    @property
    def value(self) -> pl.DataFrame:
        """The movies with both predictions and their difference, from the least to the largest."""
        columns = dict(zip(("first", "second"), self.predictions(self.state), strict=True))
        frame = pl.DataFrame({"title": self.data["movies"], **columns})
        return frame.with_columns(difference=pl.col("first") - pl.col("second")).sort("difference", maintain_order=True)

    def text(self, state: Mapping[str, Any]) -> str:
        """Say how far the two are apart, and about how much they disagree."""
        found, movies = self.compare(state), self.data["movies"]
        differences = [a - b for a, b in zip(*self.predictions(state), strict=True)]
        is_flat = found["to"] - found["from"] < FLAT
        low, high = (f"{fixed(found[end], 1 if is_flat else 2)} stars" for end in ("from", "to"))
        least, most = (movies[differences.index(found[end])] for end in ("from", "to"))
        apart = f"goes from {low} ({least}) to {high} ({most})"
        if is_flat:
            apart = f"is {low} for each of {len(movies)} movies"
        n, pairs = found["disagreements"], found["pairs"]
        return (
            f"{'With' if state['hidden'] else 'Without'} a hidden layer, {state['first']} less {state['second']} {apart}. "
            f"The two put {fixed(n)} of {fixed(pairs)} pairs of movies ({fixed(100 * n / pairs)} %) in opposite order."
        )

    def picture(self):
        """Each movie by both users' predictions, in both models."""
        fig, axes = plt.subplots(1, 2, figsize=(7.6, 4), sharex=True, sharey=True)
        for ax, hidden in zip(axes, (False, True), strict=True):
            state = {"first": self.data["users"][0], "second": self.data["users"][1], "hidden": hidden}
            ax.plot(*self.predictions(state), "s" if hidden else "o", markersize=4)
            found, name = self.compare(state), "with a hidden layer" if hidden else "without a hidden layer"
            title = f"{name}\n{found['disagreements']:,} of {found['pairs']:,} pairs of movies in opposite order"
            ax.set_title(title, fontsize=10)
            ax.set_xlabel(f"{state['first']}, stars")
        axes[0].set_ylabel(f"{state['second']}, stars")
        fig.suptitle("A sum gives all users one order of the movies, a hidden layer gives each their own")
        fig.tight_layout()
        return fig


def _short(title: str) -> str:
    """Drop what is in brackets, and put the article first."""
    title = title.split(" (")[0]
    return f"The {title.removesuffix(', The')}" if title.endswith(", The") else title
