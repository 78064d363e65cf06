"""Notebook 02: where early stopping ends a run, and where the run would have gone."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from utilities.settings import settings
from utilities.widgets.base import Widget, fixed

# The starts on offer, and what `benchmarks/experiments/first_weights.csv` calls them. Its four digits hide the smallest
# steps down: a stop found from it lies up to two epochs before the run's own. Where it would lie farther off, as with std 2,
# a start is left out.
STARTS = {
    "std 1": "start",
    "std 1, λ = 0.1": "penalty",
    "std 1, w frozen at 1": "w frozen",
    "std 1, learning rate 0.02": "rate 0.02",
    "std 1, no sigmoid": "no sigmoid",
    "std 0.5, learning rate 0.02": "std 0.5, rate 0.02",
    "std 0.1": "std 0.1",
    "std 0.1, λ = 0.1": "short, penalty",
    "std 0.1, 2 factors": "std 0.1, 2 factors",
    "std 0.1, 32 factors": "std 0.1, 32 factors",
    "std 0.1, 32 factors, λ = 0.1": "std 0.1, 32 factors, penalty",
}
GRACE = 6  # epochs before early stopping begins to judge, as in `make_trainer`


class FirstWeights(Widget):
    """The reader guesses at which epoch early stopping ends, and only then sees the curves of several seeds, run on."""

    name = "first_weights"

    def __init__(self, curves_df: pl.DataFrame, biases: float):
        """Take the table of the first weights, and the validation MSE of the biases.

        Args:
            curves_df: Columns `condition`, `seed`, `epoch` and `val_loss`, as in `benchmarks/experiments/first_weights.csv`.
            biases: Validation MSE of the bias baseline on the built-in sample.
        """
        losses = {
            condition: df.group_by("seed", maintain_order=True).agg("val_loss")["val_loss"].to_list()
            for (condition,), df in curves_df.group_by("condition", maintain_order=True)
        }
        self._curves = {start: losses[condition] for start, condition in STARTS.items()}
        curves = {start: [" ".join(map(str, seed)) for seed in seeds] for start, seeds in self._curves.items()}
        data = {
            "starts": list(STARTS),  # a notebook sorts the keys of the curves
            "curves": curves,
            "grace": GRACE,
            "mean": losses["mean"][0][0],
            "biases": round(float(biases), 4),
        }
        super().__init__(data, {"start": "std 1", "patience": 3, "guess": 40, "shown": "", "committed": 0, "asked": 0})

    @classmethod
    def example(cls) -> "FirstWeights":
        """The stored table."""
        return cls(pl.read_csv(settings().root / "benchmarks" / "experiments" / "first_weights.csv"), 0.7277)

    @property
    def value(self) -> pl.DataFrame:
        """A row for each seed: where training stops, the best loss until then, the best of the whole curve and its epoch."""
        return self.stops(self.state["start"], self.state["patience"])

    def stops(self, start: str, patience: int) -> pl.DataFrame:
        """Give what `value` gives, for any start and patience."""
        rows = [stopping(losses, patience, self.data["grace"]) for losses in self._curves[start]]
        return pl.DataFrame(rows, schema_overrides={"stops": pl.Int64}).with_row_index("seed")

    def text(self, state: Mapping[str, Any]) -> str:
        """Say where training stops, what it keeps and what it misses, once the guess is made."""
        start, patience, guess = state["start"], state["patience"], state["guess"]
        name = f"{start}, patience {patience}"
        if (state["shown"], state["committed"]) != (start, guess):
            grace = self.data["grace"]
            now = pl.Series([losses[grace - 1] for losses in self._curves[start]])
            return (
                f"{name}: after {grace} epochs the MSE is {_span(now, 3)}. When will training stop? "
                f"You guess epoch {guess}. Commit to see the rest."
            )
        df = self.stops(start, patience)
        stops, epochs = df["stops"].drop_nulls(), len(self._curves[start][0])
        which = "" if len(stops) == df.height else f" in {len(stops)} of {df.height} seeds"
        judged = _judged(guess, stops, df.height, epochs)
        guessed = f" (you guessed {guess}: {judged})" if patience == state["asked"] else ""
        stop = f"stops at epoch {_span(stops, 0)}{which}" if len(stops) else f"has not stopped by epoch {epochs}"
        below = (df["kept"] < self.data["mean"]).sum()
        return (
            f"{name}: training {stop}{guessed}, with a best MSE of {_span(df['kept'], 3)}: {below} of {df.height} seeds "
            f"{'gets' if below == 1 else 'get'} below the mean of {fixed(self.data['mean'], 3)}. "
            f"Within {epochs} epochs the seeds' best is {_span(df['best'], 3)} at epoch {_span(df['at'], 0)}."
        )

    def picture(self):
        """Curves of two starts, with where early stopping ends and where each seed is best."""
        fig, ax = plt.subplots(figsize=(7, 3.8))
        for start, style, color in (("std 1", "-", "C0"), ("std 1, λ = 0.1", "--", "C1")):
            df, curves = self.stops(start, 3), self._curves[start]
            seeds = np.array(curves)
            epochs = range(1, seeds.shape[1] + 1)
            ax.plot(epochs, seeds.mean(axis=0), style, color=color, label=start)
            ax.fill_between(epochs, seeds.min(axis=0), seeds.max(axis=0), color=color, alpha=0.25)
            ax.plot(df["stops"], seeds[df["seed"], df["stops"] - 1], "s", color=color)
            ax.plot(df["at"], df["best"], "o", color=color, fillstyle="none")
        ax.axhline(self.data["mean"], color="0.4", linestyle=":", label="mean")
        ax.axhline(self.data["biases"], color="0.2", linestyle="-.", label="biases")
        ax.set(ylim=(0.65, 1.7), xlabel="epoch", ylabel="validation MSE (stars²)")
        ax.set_title(
            "Early stopping with patience 3 ends (■) before the best (○), or at it (built-in sample)", fontsize=10
        )
        ax.legend()
        fig.tight_layout()
        return fig


def stopping(losses: list[float], patience: int, grace: int = GRACE) -> dict[str, Any]:
    """Tell where `EarlyStoppingWithMinEpochs` would end a run whose losses by epoch are known."""
    lowest, waited, stops = math.inf, 0, None
    for epoch, loss in enumerate(losses[grace:], start=grace + 1):
        lowest, waited = (loss, 0) if loss < lowest else (lowest, waited + 1)
        if waited >= patience:
            stops = epoch
            break
    best = min(losses)
    return {"stops": stops, "kept": min(losses[:stops]), "best": best, "at": losses.index(best) + 1}


def _span(values: pl.Series, digits: int) -> str:
    low, high = values.min(), values.max()
    return fixed(high, digits) if low == high else f"{fixed(low, digits)} to {fixed(high, digits)}"


def _judged(guess: int, stops: pl.Series, n_seeds: int, epochs: int) -> str:
    """Say how far a guess lies from where the seeds stop; one that has not stopped stops somewhere behind its curve."""
    first = stops.min() if len(stops) else epochs + 1
    if guess < first:
        return f"{_epochs(first - guess)} too early" if len(stops) else "too early"
    if len(stops) < n_seeds:
        return "right" if len(stops) else "beyond the curves"
    return f"{_epochs(guess - stops.max())} too late" if guess > stops.max() else "right"


def _epochs(n: int) -> str:
    return f"{n} epoch{'' if n == 1 else 's'}"
