"""Notebook 02: a map of the movies, and which neighbours survive another seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from utilities.widgets.base import Widget, distinct, fixed

SEEDS = ("one seed", "another seed")
RATERS = "same raters"
NEAREST = 5
MOST = 500  # movies drawn; of more, those with the most raters


class MovieMap(Widget):
    """The movies' embeddings in the plane, under two seeds, and the nearest of the one that is chosen."""

    name = "movie_map"

    def __init__(
        self, titles: Sequence[str], rows, twin_rows, raters, title: str = "Star Wars: Episode IV - A New Hope"
    ):
        """Take two embeddings of the same movies.

        Args:
            titles: The title of each movie.
            rows: Its embedding, `[n_movies, k]`.
            twin_rows: Its embedding under another seed, `[n_movies, k]`.
            raters: 1 where a user has rated it, else 0, `[n_movies, n_users]`.
            title: The movie to begin with.
        """
        raters = np.asarray(raters, dtype=np.float64)
        most = np.sort(np.argsort(-raters.sum(axis=1), kind="stable")[:MOST])
        titles = distinct(titles[i] and str(titles[i]).split(" (")[0] for i in most)
        rows = [np.asarray(table, dtype=np.float64)[most] for table in (rows, twin_rows)]
        xy = [PCA(2, random_state=0).fit_transform(table) for table in rows]
        xy[1] *= np.where((xy[0] * xy[1]).sum(axis=0) < 0, -1, 1)  # PCA leaves the sign open
        self._nearest = {
            name: _nearest(table) for name, table in zip((*SEEDS, RATERS), (*rows, raters[most]), strict=True)
        }
        spans = [(points - points.min(axis=0)) / np.maximum(np.ptp(points, axis=0), 1e-12) for points in xy]
        data = {
            "titles": titles,
            "xy": {seed: _packed((999 * span).round().astype(int)) for seed, span in zip(SEEDS, spans, strict=True)},
            "nearest": {name: _packed(table) for name, table in self._nearest.items()},
        }
        super().__init__(data, {"movie": titles.index(title) if title in titles else 0, "n": NEAREST})

    @classmethod
    def example(cls) -> "MovieMap":
        """Invented movies, whose second rows are the first with noise."""
        draw = np.random.default_rng(0)
        rows, noise = draw.normal(size=(2, 120, 8))
        raters = draw.random((120, 60)) < 0.3
        return cls([f"Movie {i}" for i in range(1, 121)], rows, rows + 0.4 * noise, raters, "Movie 12")

    @property
    def value(self) -> list[str]:
        """Titles of the chosen movie's nearest that survive another seed."""
        return [self.data["titles"][other] for other in self.survivors(self.state["movie"], self.state["n"])]

    def survivors(self, movie: int, n: int = NEAREST, among: str = SEEDS[1]) -> list[int]:
        """Give those of a movie's n nearest under one seed that are among its 5 nearest in another list."""
        others = self._nearest[among][movie]
        return [other for other in self._nearest[SEEDS[0]][movie][:n] if other in others]

    def text(self, state: Mapping[str, Any]) -> str:
        """Say which neighbours survive."""
        titles, movie, n = self.data["titles"], state["movie"], state["n"]
        same, rated = (self.survivors(movie, n, among) for among in (SEEDS[1], RATERS))
        named = f" ({'; '.join(titles[other] for other in same)})" if same else ""
        share = sum(len(self.survivors(i, n)) for i in range(len(titles))) / (n * len(titles))
        survive, are = "survives" if len(same) == 1 else "survive", "is" if len(rated) == 1 else "are"
        return (
            f"{titles[movie]}: {len(same)} of its {n} nearest {survive} another seed{named}; {len(rated)} of {n} {are} "
            f"found by the same raters. Over all {len(titles)} movies, {fixed(100 * share)}% survive."
        )

    def picture(self):
        """Both maps, with the nearest of the chosen movie."""
        titles, movie, n = self.data["titles"], self.state["movie"], self.state["n"]
        same = self.survivors(movie, n)
        fig, axes = plt.subplots(1, 2, figsize=(9, 4.2))
        for ax, seed in zip(axes, SEEDS, strict=True):
            xy = np.array([place.split() for place in self.data["xy"][seed].split(";")], dtype=int)
            ax.scatter(*xy.T, s=5, color="0.75")
            for other in self._nearest[seed][movie][: n if seed == SEEDS[0] else NEAREST]:
                ax.plot(*xy[[movie, other]].T, color="0.6", linewidth=0.8)
                look = (
                    {"marker": "D", "color": "C2"}
                    if other in same
                    else {"marker": "o", "color": "C1", "fillstyle": "none"}
                )
                ax.plot(*xy[other], **look)
                name = titles[other].split(" - ")[-1].split(": ")[-1][:26]
                ax.annotate(name, xy[other], (6, 3), textcoords="offset points", fontsize=7)
            ax.plot(*xy[movie], "s", color="C0", markersize=10, fillstyle="none", markeredgewidth=2.5)
            ax.set(title=seed, xlabel="first component", xticks=[], yticks=[])
        axes[0].set_ylabel("second component")
        fig.suptitle(
            f"{titles[movie][:50]}: {len(same)} of {n} neighbours (◆) come back with another seed", fontsize=11
        )
        fig.tight_layout()
        return fig


def _nearest(table: np.ndarray) -> list[list[int]]:
    """Give the rows that point most nearly the same way, for each row the first few."""
    directions = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    cosines = (directions @ directions.T).round(9)  # so that ties are ties on any machine
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST].tolist()


def _packed(table) -> str:
    """Give a table of whole numbers as one text, which lies in a notebook on one line."""
    return ";".join(" ".join(map(str, row)) for row in table)
