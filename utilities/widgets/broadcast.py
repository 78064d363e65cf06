"""Notebook 03: what torch does with a column, a row and a loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from utilities.widgets.base import Widget, fixed

NAMES = ("predictions", "biases", "ratings")
ROWS = {"[B, 1]"}
COLUMNS = {"[B]", "[1, B]"}
SHAPES = {"predictions": "[B, 1]", "biases": "[B]", "ratings": "[B]"}  # of the first attempt
# Whose wish, and for which part: a prediction is drawn to a rating less a bias, a bias to a rating less a prediction.
WISHES = (("predictions", "ratings"), ("predictions", "biases"), ("biases", "ratings"), ("biases", "predictions"))


class Broadcast(Widget):
    """Predictions, biases and ratings as torch stretches them, and what the loss makes of it, by batch and shapes."""

    name = "broadcast"

    def __init__(
        self,
        predictions: Sequence[int] = (4, 3, 2, 2, 3, 3),
        biases: Sequence[int] = (1, 0, 1, -1, 0, -1),
        ratings: Sequence[int] = (4, 2, 5, 1, 2, 2),
    ):
        """Take whole numbers of one digit, one of each kind for each of at most six rows."""
        values = dict(
            zip(NAMES, ([int(value) for value in kind] for kind in (predictions, biases, ratings)), strict=True)
        )
        if len({len(kind) for kind in values.values()}) > 1 or not 1 <= len(values["ratings"]) <= 6:
            raise ValueError(f"predictions, biases and ratings must be alike in length, 1 to 6; they are {values}")
        super().__init__(values, {"B": min(4, len(values["ratings"])), **SHAPES, "row": 3, "column": 1})

    def pairs(self, state: Mapping[str, Any]) -> list[tuple[int, int, int]]:
        """Give the row of the prediction, of the bias and of the rating for each entry of the difference."""
        shapes, n = [state[name] for name in NAMES], state["B"]
        places = [(m, c) for m in range(n if ROWS & {*shapes} else 1) for c in range(n if COLUMNS & {*shapes} else 1)]
        return [tuple(m if shape in ROWS else c if shape in COLUMNS else 0 for shape in shapes) for m, c in places]

    def losses(self, state: Mapping[str, Any]) -> tuple[float, float]:
        """Give the loss, and what it would be with each row by itself."""
        f, b, r = (self.data[name] for name in NAMES)
        pairs, rows = self.pairs(state), range(state["B"])
        loss = sum((f[i] + b[j] - r[k]) ** 2 for i, j, k in pairs) / len(pairs)
        return loss, sum((f[i] + b[i] - r[i]) ** 2 for i in rows) / len(rows)

    @property
    def value(self) -> dict[str, Any]:
        """Shapes, pairs and losses of what is chosen, and the numbers nested in the chosen shapes."""
        state, pairs = self.state, self.pairs(self.state)
        loss, right = self.losses(state)
        nested = {}
        for name in NAMES:
            kept, shape = self.data[name][: 1 if state[name] == "[1]" else state["B"]], state[name]
            nested[name] = [[value] for value in kept] if shape == "[B, 1]" else [kept] if shape == "[1, B]" else kept
        shapes = {"sum": _shape(state, NAMES[:2]), "difference": _shape(state, NAMES)}
        return {
            **shapes,
            "pairs": len(pairs),
            "of one row": _together(pairs),
            "loss": loss,
            "row by row": right,
            **nested,
        }

    def text(self, state: Mapping[str, Any]) -> str:
        """Say what is added, compared and wanted."""
        pairs, (loss, right) = self.pairs(state), self.losses(state)
        own = _together(pairs)
        total, wishes = _shape(state, NAMES[:2]), [_kind(state, *names) for names in WISHES]
        warns = "Torch warns: sum and ratings differ in shape."
        return (
            f"The sum is {total}, the difference {_shape(state, NAMES)}: a mean of {len(pairs)}, "
            f"{own} of which compare{'s' if own == 1 else ''} one row with itself. "
            f"Loss {fixed(loss, 2)}; row by row it is {fixed(right, 2)}. "
            f"A prediction is drawn to {wishes[0]} rating less {wishes[1]} bias, "
            f"a bias to {wishes[2]} rating less {wishes[3]} prediction. "
            f"{warns if total != _shape(state, NAMES[2:]) else 'Torch does not warn.'}"
        )

    def picture(self):
        """Each tensor as torch stretches it, in the shapes of the first attempt."""
        state = {"B": min(4, len(self.data["ratings"])), **SHAPES}
        fig, axes = plt.subplots(1, 4, figsize=(8.4, 2.9))
        titles = ("predictions [B, 1]", "+ biases [B]", "− ratings [B]", "= difference [B, B]")
        for rows in self.pairs(state):
            f, b, r = (self.data[name][row] for name, row in zip(NAMES, rows, strict=True))
            m, c = rows[:2]
            for ax, value, is_framed in zip(axes, (f, b, r, f + b - r), (c == 0, m == 0, m == 0, m == c), strict=True):
                style = ("#cfe3f5", "k", 1.8, "-") if is_framed else ("none", "0.5", 1, ":")
                style = dict(zip(("facecolor", "edgecolor", "linewidth", "linestyle"), style, strict=True))
                ax.add_patch(plt.Rectangle((c + 0.06, m + 0.06), 0.88, 0.88, **style))
                ax.text(c + 0.5, m + 0.5, f"{value}".replace("-", "−"), ha="center", va="center")
        for ax, title in zip(axes, titles, strict=True):
            ax.set_title(title, fontsize=10)
            ax.set(xlim=(0, state["B"]), ylim=(state["B"], 0), aspect="equal")
            ax.axis("off")
        n_pairs, n_own = len(self.pairs(state)), _together(self.pairs(state))
        fig.suptitle(f"A column and a row become a matrix: {n_own} of {n_pairs} compare one row with itself (framed)")
        fig.tight_layout()
        return fig


def _kind(state: Mapping[str, Any], wishing: str, part: str) -> str:
    shapes = {state[wishing], state[part]}
    if state["B"] == 1 or shapes <= ROWS or shapes <= COLUMNS:
        return "its own"
    return "the first" if state[part] == "[1]" else "the mean"


def _shape(state: Mapping[str, Any], names: Sequence[str]) -> list[int]:
    shapes, n = {state[name] for name in names}, state["B"]
    rows, columns = n if shapes & ROWS else 1, n if shapes & COLUMNS else 1
    return [rows, columns] if shapes & {"[B, 1]", "[1, B]"} else [columns]


def _together(pairs: Sequence[tuple[int, int, int]]) -> int:
    return sum(i == j == k for i, j, k in pairs)
