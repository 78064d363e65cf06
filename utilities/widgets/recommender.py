"""Notebook 06: rate movies and get a list, with its doubt and its reasons."""

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from utilities.widgets.base import Widget, fixed, signed, titles_with_years

UNIT = 1e-4  # stars; the numbers of the movies are kept as multiples of it
N_LISTED, N_TOLD = 10, 3


class Recommender(Widget):
    """The ten movies for whoever gives these stars, by folding in."""

    name = "recommender"

    def __init__(
        self,
        known: Any,
        popularity: Iterable[float],
        movies_df: pl.DataFrame,
        scale: Any,
        asked: Iterable[int] = (),
        stars: Iterable[float] | None = None,
    ):
        """Take what a training leaves.

        Args:
            known: `base` = μ + b_i, `inputs` = x_i, the `rows` z_u of known users and the `noise`, as `freeze` gives it.
            popularity: Training ratings of each movie.
            movies_df: `title` and `year` of each movie.
            scale: Has `lowest`, `highest` and `step` in stars.
            asked: Positions of movies that wait for stars.
            stars: Stars that they have already; 0 for none.
        """
        base, inputs, rows = (np.asarray(part, dtype=float) for part in (known.base, known.inputs, known.rows))
        values, vectors = np.linalg.eigh(np.cov(rows.T))
        left, sizes, _ = np.linalg.svd(
            inputs @ vectors * np.sqrt(values.clip(0)), full_matrices=False
        )  # K = X S Xᵀ = F Fᵀ
        titles = titles_with_years()
        data = {
            "titles": movies_df.select(titles.fill_null("?"))["title"].to_list(),
            "start": _whole((base + inputs @ rows.mean(axis=0)) / UNIT),
            "factors": _whole(left * sizes / UNIT),
            "noise": round(float(known.noise), 5),
            "popularity": _whole(np.asarray(popularity)),
            "lowest": float(scale.lowest),
            "highest": float(scale.highest),
            "step": scale.step or (scale.highest - scale.lowest) / 20,
            "asked": [int(movie) for movie in asked],
        }
        given = [0] * len(data["asked"]) if stars is None else [float(rating) for rating in stars]
        ratings = [list(rating) for rating in zip(data["asked"], given, strict=True)]
        super().__init__(data, {"ratings": ratings, "beta": 0, "why": None})

    @classmethod
    def example(cls) -> "Recommender":
        """Make one of rows drawn at random, with three ratings given."""
        from types import SimpleNamespace

        draw, n, k = np.random.default_rng(0), 80, 4
        inputs = np.hstack([draw.normal(0, 0.5, (n, k)), np.ones((n, 1))])
        rows = draw.normal(0, 0.5, (200, k + 1))
        known = SimpleNamespace(base=draw.normal(3.6, 0.4, n), inputs=inputs, rows=rows, noise=0.7)
        movies_df = pl.DataFrame({"title": [f"Movie {i} of the example" for i in range(n)], "year": 1990})
        scale = SimpleNamespace(lowest=0.5, highest=5.0, step=0.5)
        return cls(known, range(30, 30 + n), movies_df, scale, asked=(3, 14, 15, 9), stars=(5, 1.5, 4, 0))

    def folded(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Fold the given ratings in, and make the list.

        Returns:
            `movies` and `stars` that are given; of all movies, in stars, `start` (the average user's), `predictions`,
            `doubts` (standard deviations of x·z) and `parts` [n_movies, n_given]; the `listed` movies; `trail`, the mean
            doubt after each rating.
        """
        start, factors, noise = (
            np.array(self.data["start"]) * UNIT,
            np.array(self.data["factors"]) * UNIT,
            self.data["noise"],
        )
        given = [(movie, stars) for movie, stars in state["ratings"] if stars]
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
        mixed = (
            f" Mixed with popularity: β log(1 + n) for the movie's n ratings, β = {fixed(state['beta'], 2)}."
            if state["beta"]
            else ""
        )
        n, listed, predictions, parts = len(told["movies"]), told["listed"], told["predictions"], told["parts"]
        before, now = told["trail"][0], told["trail"][-1]
        if not n:
            doubt = (
                f"Doubt about a user ± {fixed(before, 1)} stars, noise of a rating ± {fixed(np.sqrt(noise), 1)} stars."
            )
            return f"No stars given yet: the list is what the average user gets. {doubt}{mixed}"
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
            f"{n} rating{'s' if n > 1 else ''} given.{mixed} The list begins with {first} stars. Mean doubt about you: "
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
        left.set(xlabel="prediction ± standard deviation (stars)")
        often = np.argsort(-np.array(self.data["popularity"]), kind="stable")[:20]
        trail = np.array(self.folded({"ratings": [[int(j), 1.0] for j in often], "beta": 0})["trail"])
        right.plot(np.sqrt(trail**2 + noise), "--", color="0.5", label="with noise, the thin lines")
        right.plot(trail, "-o", markersize=3, label="doubt, the thick lines")
        right.set(xlabel="most popular movies rated", ylabel="mean standard deviation (stars)", ylim=(0, None))
        right.legend(fontsize=8, loc="center right")
        fig.suptitle("Each rating leaves less doubt about a user, and as much noise")
        return fig


def _whole(values: np.ndarray) -> list:
    return np.rint(values).astype(int).tolist()
