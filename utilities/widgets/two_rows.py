"""Notebook 02: how the rows of a user and of a movie become a rating."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from utilities.releases import HALF_STARS, Scale
from utilities.widgets.base import Widget, fixed


class TwoRows(Widget):
    """Rows of two numbers, for a few users and a movie, to drag in their plane; products, cosines and ratings follow."""

    name = "two_rows"

    def __init__(
        self,
        users: Mapping[str, Sequence[float]],
        movie: Sequence[float],
        c: float,
        scale: Scale,
        factors: Sequence[str] = ("funny", "dark"),
        title: str = "movie",
    ):
        """Take the rows to begin with.

        Args:
            users: A row of two numbers for each user, by name.
            movie: The row of the movie.
            c: The output bias: σ(c), stretched onto the scale, is the mean rating.
            scale: The rating scale.
            factors: What the two numbers are called.
            title: What the movie is called.
        """
        data = {"users": list(users), "movie": title, "factors": list(factors), "c": float(c)}
        data |= {"lowest": float(scale.lowest), "width": float(scale.highest - scale.lowest)}
        data["mean"] = data["lowest"] + data["width"] / (1 + math.exp(-data["c"]))
        round_ones = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(scale.lowest, scale.highest).tolist()
        data["marks"] = [mark for mark in round_ones if scale.lowest < mark < scale.highest]
        data["unit"] = scale.unit
        rows = {name: [round(float(number), 2) for number in row] for name, row in (*users.items(), ("movie", movie))}
        super().__init__(data, {"user": next(iter(users)), "w": 1, **rows})

    @classmethod
    def example(cls, scale: Scale = HALF_STARS) -> "TwoRows":
        """The invented rows of notebook 02."""
        users = {"Ann": [1.0, -0.5], "Ben": [0.2, 0.9], "Cleo": [-0.8, 0.1]}
        return cls(users, [0.8, 0.7], 0.7, scale)

    @property
    def value(self) -> dict[str, float]:
        """The rating that each user gives the movie, by name."""
        return {user: self.rate(self.state, user)["rating"] for user in self.data["users"]}

    def rate(self, state: Mapping[str, Any], user: str) -> dict[str, float]:
        """Give the dot product of a user's row with the movie's, their cosine, and what the sigmoid makes of it."""
        p, q, data = state[user], state["movie"], self.data
        dot = p[0] * q[0] + p[1] * q[1]
        lengths = math.sqrt(p[0] * p[0] + p[1] * p[1]) * math.sqrt(q[0] * q[0] + q[1] * q[1])
        score = state["w"] * dot + data["c"]
        squeezed = 1 / (1 + math.exp(-score))
        cosine = dot / lengths if lengths else math.nan
        return {
            "dot": dot,
            "cosine": cosine,
            "score": score,
            "sigmoid": squeezed,
            "rating": data["lowest"] + data["width"] * squeezed,
        }

    def text(self, state: Mapping[str, Any]) -> str:
        """Say what a user and the movie come to, and how all users rate it."""
        one = self.rate(state, state["user"])
        ratings = {user: self.rate(state, user) for user in self.data["users"]}
        likers = sum(state["w"] * rated["dot"] > 1e-9 for rated in ratings.values())
        angle = "no cosine (a row of zeros)" if math.isnan(one["cosine"]) else f"cosine {fixed(one['cosine'], 2)}"
        every = ", ".join(f"{user} {fixed(rated['rating'], 2)}" for user, rated in ratings.items())
        return (
            f"{state['user']} and the movie: dot product {fixed(one['dot'], 2)}, {angle}, "
            f"σ({fixed(one['score'], 2)}) = {fixed(one['sigmoid'], 2)}, rating {fixed(one['rating'], 2)}. "
            f"Ratings: {every}; {likers} of {len(ratings)} above the mean of {fixed(self.data['mean'], 2)}."
        )

    def picture(self):
        """The rows in their plane, with the lines on which all movies get the same rating from the first user."""
        state, data = self.state, self.data
        fig, ax = plt.subplots(figsize=(5.6, 4.6))
        axis = np.linspace(-1.5, 1.5, 61)
        user = state["user"]
        dots = state[user][0] * axis + state[user][1] * axis[:, None]
        ratings = data["lowest"] + data["width"] / (1 + np.exp(-(state["w"] * dots + data["c"])))
        lines = ax.contour(axis, axis, ratings, levels=data["marks"], colors="0.6", linewidths=0.8)
        ax.clabel(lines, fmt=lambda mark: f"{mark:g} {data['unit']}", fontsize=8)
        for name in data["users"]:
            ax.annotate("", state[name], (0, 0), arrowprops={"arrowstyle": "->", "color": "C0", "lw": 2})
            above = {"xytext": (0, 6 if state[name][1] >= 0 else -14), "textcoords": "offset points", "ha": "center"}
            ax.annotate(f"{name} {fixed(self.value[name], 2)}", state[name], **above)
        ax.annotate(
            "", state["movie"], (0, 0), arrowprops={"arrowstyle": "-|>", "color": "C1", "lw": 2, "linestyle": "--"}
        )
        ax.annotate(data["movie"], state["movie"], (0, 6), textcoords="offset points", ha="center")
        ax.set(xlabel=data["factors"][0], ylabel=data["factors"][1], aspect="equal")
        ax.set_title(f"All movies on a line get the same {data['unit']} from {user}", fontsize=11)
        fig.tight_layout()
        return fig
