"""Notebook 06: rate movies and get a list, with its doubt and its reasons."""

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from utilities.releases import HALF_STARS, Scale
from utilities.widgets.base import Widget, distinct, fixed, on_scale, signed, titles_with_years

GRAIN = 1e-4  # of a star or point; the numbers of the movies are kept as multiples of it
N_LISTED, N_TOLD = 10, 3


class Recommender(Widget):
    """The ten movies for whoever gives these ratings, by folding in."""

    name = "recommender"

    def __init__(
        self,
        known: Any,
        popularity: Iterable[float],
        movies_df: pl.DataFrame,
        scale: Scale,
        asked: Iterable[int] = (),
        stars: Iterable[float | None] | None = None,
    ):
        """Take what a training leaves.

        Args:
            known: `base` = μ + b_i, `inputs` = x_i, the `rows` z_u of known users and the `noise`, as `freeze` gives it.
            popularity: Training ratings of each movie.
            movies_df: `title` and `year` of each movie.
            scale: The rating scale; one without steps gets a hundred.
            asked: Positions of movies that wait for a rating.
            stars: Ratings that they have already; None for none.

        Raises:
            ValueError: A rating is not on the scale.
        """
        base, inputs, rows = (np.asarray(part, dtype=float) for part in (known.base, known.inputs, known.rows))
        values, vectors = np.linalg.eigh(np.cov(rows.T))
        left, sizes, _ = np.linalg.svd(
            inputs @ vectors * np.sqrt(values.clip(0)), full_matrices=False
        )  # K = X S Xᵀ = F Fᵀ
        titles = titles_with_years()
        data = {
            "titles": distinct(movies_df.select(titles)["title"]),
            "start": _whole((base + inputs @ rows.mean(axis=0)) / GRAIN),
            "factors": _whole(left * sizes / GRAIN),
            "noise": round(float(known.noise), 5),
            "popularity": _whole(np.asarray(popularity)),
            "lowest": float(scale.lowest),
            "highest": float(scale.highest),
            "step": scale.step or (scale.highest - scale.lowest) / 100,
            "unit": scale.unit,
            "asked": [int(movie) for movie in asked],
        }
        given = [None] * len(data["asked"]) if stars is None else [_given(rating, scale) for rating in stars]
        ratings = [list(rating) for rating in zip(data["asked"], given, strict=True)]
        super().__init__(data, {"ratings": ratings, "beta": 0, "why": None})

    @classmethod
    def example(cls, scale: Scale = HALF_STARS) -> "Recommender":
        """Make one of rows drawn at random, with three ratings given."""
        from types import SimpleNamespace

        draw, n, k, size = np.random.default_rng(0), 80, 4, (scale.highest - scale.lowest) / 4.5
        inputs = np.hstack([draw.normal(0, 0.5, (n, k)), np.ones((n, 1))])
        rows = size * draw.normal(0, 0.5, (200, k + 1))
        base = scale.lowest + size * (draw.normal(3.6, 0.4, n) - 0.5)
        known = SimpleNamespace(base=base, inputs=inputs, rows=rows, noise=0.7 * size**2)
        movies_df = pl.DataFrame({"title": [f"Movie {i} of the example" for i in range(n)], "year": 1990})
        stars = *on_scale(np.array([5, 1.5, 4]), scale), None
        return cls(known, range(30, 30 + n), movies_df, scale, asked=(3, 14, 15, 9), stars=stars)

    def folded(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Fold the given ratings in, and make the list.

        Returns:
            `movies` and `stars` that are given; of all movies `start` (the average user's), `predictions`,
            `doubts` (standard deviations of x·z) and `parts` [n_movies, n_given]; the `listed` movies; `trail`, the mean
            doubt after each rating.
        """
        start, factors, noise = (
            np.array(self.data["start"]) * GRAIN,
            np.array(self.data["factors"]) * GRAIN,
            self.data["noise"],
        )
        given = [(movie, stars) for movie, stars in state["ratings"] if stars is not None]
        movies, stars = [movie for movie, _ in given], [stars for _, stars in given]
        gram = factors.T @ factors / len(factors)
        covariance = np.eye(factors.shape[1])
        trail = [np.sqrt((covariance * gram).sum())]
        for movie in movies:
            moved = covariance @ factors[movie]
            covariance = covariance - np.outer(moved, moved) / (noise + factors[movie] @ moved)
            trail.append(np.sqrt((covariance * gram).sum()))
        parts = factors @ covariance @ factors[movies].T / noise * (np.array(stars) - start[movies])
        predictions = start + parts.sum(axis=1)
        scores = predictions + state["beta"] * np.log(1 + np.array(self.data["popularity"]))
        order = np.argsort(-scores, kind="stable")
        return {
            "movies": movies,
            "stars": stars,
            "start": start,
            "predictions": predictions,
            "doubts": np.sqrt(((factors @ covariance) * factors).sum(axis=1)),
            "parts": parts,
            "listed": order[~np.isin(order, movies)][:N_LISTED].tolist(),
            "trail": trail,
        }

    @property
    def value(self) -> dict[str, Any]:
        """The `movies` that have `stars` (positions), `beta`, and the list of ten as a frame, `list`."""
        told = self.folded(self.state)
        listed, titles = told["listed"], self.data["titles"]
        stds = np.sqrt(told["doubts"][listed] ** 2 + self.data["noise"])
        frame = {"movie": [titles[j] for j in listed], "prediction": told["predictions"][listed], "std": stds}
        because = ["; ".join(f"{titles[told['movies'][i]]} {part}" for i, part in self._most(told, j)) for j in listed]
        return {key: told[key] for key in ("movies", "stars")} | {
            "beta": self.state["beta"],
            "list": pl.DataFrame(frame | {"because": because}),
        }

    def _most(self, told: Mapping[str, Any], movie: int) -> list[tuple[int, str]]:
        parts = told["parts"][movie]
        return [(i, signed(parts[i], 2)) for i in np.argsort(-np.abs(parts), kind="stable")[:N_TOLD].tolist()]

    def text(self, state: Mapping[str, Any]) -> str:
        """Say the first three, how much doubt is left, and why one is on the list."""
        told, noise, titles = self.folded(state), self.data["noise"], self.data["titles"]
        unit = self.data["unit"]
        mixed = (
            f" Mixed with popularity: β log(1 + n) for the movie's n ratings, β = {fixed(state['beta'], 2)}."
            if state["beta"]
            else ""
        )
        n, listed, predictions, parts = len(told["movies"]), told["listed"], told["predictions"], told["parts"]
        before, now = told["trail"][0], told["trail"][-1]
        if not n:
            doubt = f"Doubt about a user ± {fixed(before, 1)} {unit}, noise of a rating ± {fixed(np.sqrt(noise), 1)} {unit}."
            return f"No {unit} given yet: the list is what the average user gets. {doubt}{mixed}"
        stds = np.sqrt(told["doubts"] ** 2 + noise)
        first = "; ".join(f"{titles[j]} {fixed(predictions[j], 2)} ± {fixed(stds[j], 2)}" for j in listed[:3])
        with_noise = [fixed(np.sqrt(doubt**2 + noise), 2) for doubt in (before, now)]
        picked = state["why"] if state["why"] in listed else listed[0]
        most = self._most(told, picked)
        why = f"{fixed(told['start'][picked], 2)} for the average user"
        why += "".join(f", {titles[told['movies'][i]]} {part}" for i, part in most)
        if n > N_TOLD:
            rest = predictions[picked] - told["start"][picked] - sum(parts[picked, i] for i, _ in most)
            why += f", the other ratings {signed(rest, 2)}"
        return (
            f"{n} rating{'s' if n > 1 else ''} given.{mixed} The list begins with {first} {unit}. Mean doubt about you: "
            f"± {fixed(before, 2)} before the first rating, ± {fixed(now, 2)} now; with the noise of a rating "
            f"± {with_noise[0]} and ± {with_noise[1]}. Why {titles[picked]}: {why}."
        )

    def picture(self):
        """Show the list of the state, and how doubt falls as the most popular movies are rated."""
        told, noise = self.folded(self.state), self.data["noise"]
        fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=[1.5, 1], layout="constrained")
        listed, places = told["listed"], range(len(told["listed"]))
        middle, doubts = told["predictions"][listed], told["doubts"][listed]
        left.errorbar(middle, places, xerr=np.sqrt(doubts**2 + noise), fmt="none", ecolor="0.5")
        left.errorbar(middle, places, xerr=doubts, fmt="o", color="C0", elinewidth=5, markersize=4, mfc="w")
        left.set_yticks(places, [self.data["titles"][j][:34] for j in listed])
        left.invert_yaxis()
        left.set(xlabel=f"prediction ± standard deviation ({self.data['unit']})")
        often = np.argsort(-np.array(self.data["popularity"]), kind="stable")[:20]
        trail = np.array(self.folded({"ratings": [[int(j), 1.0] for j in often], "beta": 0})["trail"])
        right.plot(np.sqrt(trail**2 + noise), "--", color="0.5", label="with noise, the thin lines")
        right.plot(trail, "-o", markersize=3, label="doubt, the thick lines")
        right.set(xlabel="most popular movies rated", ylim=(0, None))
        right.set_ylabel(f"mean standard deviation ({self.data['unit']})")
        right.legend(fontsize=8, loc="center right")
        fig.suptitle("Each rating leaves less doubt about a user, and as much noise")
        return fig


def _given(rating: float | None, scale: Scale) -> float | None:
    if rating is not None and not scale.lowest <= rating <= scale.highest:
        raise ValueError(f"{rating} is no rating from {scale.lowest:g} to {scale.highest:g}; None stands for none")
    return None if rating is None else float(rating)


def _whole(values: np.ndarray) -> list:
    return np.rint(values).astype(int).tolist()
