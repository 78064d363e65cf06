"""Notebook 03: how two users' predictions differ from movie to movie, with a hidden layer and without."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import polars as pl

from utilities.releases import HALF_STARS, Scale
from utilities.widgets.base import Widget, distinct, fixed

FLAT, TIE = 1e-3, 1e-5  # of the range of all predictions, which are kept to six digits


class TwoUsers(Widget):
    """The difference of two users over well-known movies: flat if the model is a sum, and not with a hidden layer."""

    name = "two_users"

    def __init__(
        self,
        users: Sequence[int | str],
        titles: Sequence[str],
        linear: Sequence[Sequence[float]],
        network: Sequence[Sequence[float]],
        scale: Scale = HALF_STARS,
    ):
        """Take what two models predict.

        Args:
            users: The users' ids.
            titles: The movies' titles.
            linear: What the sum predicts, a row a user and a number a movie.
            network: What the network predicts, likewise.
            scale: The rating scale.

        Raises:
            ValueError: The predictions are not of that shape.
        """
        names, titles = [f"user {user}" for user in users], distinct(map(_short, titles))
        models = {"linear": linear, "network": network}
        for model, rows in models.items():
            if (found := [len(row) for row in rows]) != [len(titles)] * len(names):
                raise ValueError(
                    f"{model} must have {len(names)} rows of {len(titles)}, a row a user; they are {found}"
                )
        models = {model: [[float(f"{value:.6g}") for value in row] for row in rows] for model, rows in models.items()}
        state = {"first": names[0], "second": names[1], "hidden": False, "movie": titles[0]}
        super().__init__({"users": names, "movies": titles, "unit": scale.unit, **models}, state)

    @classmethod
    def example(cls, scale: Scale = HALF_STARS) -> "TwoUsers":
        """Give a widget with made-up users, whose tastes are waves."""
        users, movies, size = range(12), range(48), (scale.highest - scale.lowest) / 9
        middle = scale.lowest + 5.8 * size
        linear = [[middle + size * (math.sin(7 * user) + math.sin(5 * movie)) for movie in movies] for user in users]
        taste = [[size * math.sin(3 * user + movie) / 1.5 for movie in movies] for user in users]
        network = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(linear, taste, strict=True)]
        return cls(users, [f"Movie {movie + 1}" for movie in movies], linear, network, scale)

    def predictions(self, state: Mapping[str, Any]) -> tuple[list[float], list[float]]:
        """Give what the model chosen predicts for both users."""
        rows = self.data["network" if state["hidden"] else "linear"]
        return tuple(rows[self.data["users"].index(state[user])] for user in ("first", "second"))

    def _range(self) -> float:
        """Give how far all predictions of both models lie apart."""
        every = [value for model in ("linear", "network") for row in self.data[model] for value in row]
        return max(every) - min(every)

    def compare(self, state: Mapping[str, Any]) -> dict[str, float]:
        """Give the least and the largest difference, and about how many pairs of movies the two disagree."""
        first, second = self.predictions(state)
        differences = [a - b for a, b in zip(first, second, strict=True)]
        pairs = list(itertools.combinations(range(len(first)), 2))
        tie = TIE * self._range()
        n = sum((first[i] - first[j]) * (second[i] - second[j]) < -tie * tie for i, j in pairs)
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
        is_flat = found["to"] - found["from"] < FLAT * self._range()
        low, high = (f"{fixed(found[end], 1 if is_flat else 2)} {self.data['unit']}" for end in ("from", "to"))
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
            ax.set_xlabel(f"{state['first']}, {self.data['unit']}")
        axes[0].set_ylabel(f"{state['second']}, {self.data['unit']}")
        fig.suptitle("A sum gives all users one order of the movies, a hidden layer gives each their own")
        fig.tight_layout()
        return fig


def _short(title: str | None) -> str:
    """Drop what is in brackets, and put the article first."""
    title = "?" if title is None else str(title).split(" (")[0]
    return f"The {title.removesuffix(', The')}" if title.endswith(", The") else title
