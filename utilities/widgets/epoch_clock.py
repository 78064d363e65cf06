"""Notebook 04: where the time of an epoch goes, and what error a batch size reaches in equal seconds."""

import functools
import itertools
import math
import operator
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import polars as pl

from utilities.widgets.base import FOLDER, Widget, fixed

BENCHMARKS = FOLDER.parents[1] / "benchmarks"
CHOICES = ["data", "loader", "workers", "batch_size", "optimizer", "logging"]
SLOW = ["loader", "workers", "optimizer", "logging"]
START = {"data": "sample", "loader": "default", "workers": 0, "batch_size": 1024, "optimizer": "Adam"}
START |= {"logging": "a call a step", "budget": 2.0}
BUDGETS = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]


class EpochClock(Widget):
    """Seconds of an epoch's stages, by all that a plan chooses, and the error of each batch size in equal seconds."""

    name = "epoch_clock"

    def __init__(self, stages_df: pl.DataFrame | None = None, errors_df: pl.DataFrame | None = None):
        """Take measurements of stages, and errors by epoch.

        Args:
            stages_df: A row for each plan that was measured, as in `benchmarks/stages.csv`: the choices in the columns
                `data`, `loader`, `workers`, `batch_size`, `optimizer` and `logging`, the seconds of an epoch's stages in
                columns that end with `_s`, and in `machine` what they were measured on. Plans that are not in it are
                shown as not measured.
            errors_df: As `benchmarks/experiments/batch_size.csv` has them for one spread of first weights, the 0.1 of
                notebook 04 unless given.
        """
        if stages_df is None:
            stages_df = pl.read_csv(BENCHMARKS / "stages.csv")
        if errors_df is None:
            errors_df = pl.read_csv(BENCHMARKS / "experiments" / "batch_size.csv").filter(init_std=0.1)
        columns = [column for column in stages_df.columns if column.endswith("_s")]
        options = {name: stages_df[name].unique(maintain_order=True).to_list() for name in CHOICES}
        options["batch_size"].sort()
        measured = {
            row[: len(CHOICES)]: row[len(CHOICES) :] for row in stages_df.select(*CHOICES, *columns).iter_rows()
        }
        seconds = [measured.get(plan) for plan in itertools.product(*options.values())]
        data = {
            "options": options,
            "stages": [column.removesuffix("_s") for column in columns],
            "seconds": [stages and [float(f"{s:.3g}") for s in stages] for stages in seconds],
            "machine": stages_df["machine"][0],
            "errors": {str(size): rows for size, rows in _own_rates(errors_df).items()},
            "seeds": errors_df["seed"].n_unique(),
            "start": {name: START[name] for name in CHOICES},
            "budgets": BUDGETS,
        }
        state = {name: START[name] if START[name] in known else known[0] for name, known in options.items()}
        super().__init__(data, state | {"budget": START["budget"]})

    def stages(self, state: Mapping[str, Any]) -> dict[str, float] | None:
        """Give the seconds of an epoch by stage, or nothing if the plan was not measured."""
        place = 0
        for name, known in self.data["options"].items():
            if state[name] not in known:
                return None
            place = place * len(known) + known.index(state[name])
        seconds = self.data["seconds"][place]
        return seconds and dict(zip(self.data["stages"], seconds, strict=True))

    def epoch(self, state: Mapping[str, Any]) -> float | None:
        """Give the seconds of an epoch."""
        stages = self.stages(state)
        return stages and functools.reduce(operator.add, stages.values())  # in JavaScript's order and rounding

    def errors(self, state: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Give for each batch size the epochs that the budget holds, and the error and learning rate of so many."""
        if state["data"] != "sample" or state["optimizer"] == "SparseAdam":
            return []
        rows = []
        for size in self.data["options"]["batch_size"]:
            table, seconds = self.data["errors"].get(str(size)), self.epoch({**state, "batch_size": size})
            if table is None or not seconds:
                continue
            epochs = math.floor(state["budget"] / seconds)
            known = [row for row in table if row[0] <= epochs]
            names = ["of_table", "learning_rate", "mse", "low", "high"]
            row = dict(zip(names, known[-1] if known else [0, None, None, None, None], strict=True))
            rows.append({"batch_size": size, "epoch_s": seconds, "epochs": epochs, **row})
        return rows

    @property
    def value(self) -> pl.DataFrame:
        """A row for each batch size: what it reaches within the seconds chosen, the plan's other choices as they are."""
        types = {"batch_size": pl.Int64, "epoch_s": pl.Float64, "epochs": pl.Int64, "of_table": pl.Int64}
        types |= dict.fromkeys(("learning_rate", "mse", "low", "high"), pl.Float64)
        return pl.DataFrame([[row[name] for name in types] for row in self.errors(self.state)], types, orient="row")

    def text(self, state: Mapping[str, Any]) -> str:
        """Say what an epoch takes, and what error is reached in the seconds chosen."""
        if not (stages := self.stages(state)):
            return "This plan has not been measured."
        seconds, largest, start = self.epoch(state), max(stages, key=stages.get), self.data["start"]
        said = f"An epoch takes {_time(seconds)}. Its largest part is {largest}, {fixed(100 * stages[largest] / seconds)} %."
        slow = self.epoch({**state, **{name: start[name] for name in SLOW}})
        if slow and slow >= 1.1 * seconds:
            plan = f"{start['loader']} loader, {start['logging']}, {start['optimizer']}"
            said += f" The plan at the start ({plan}) takes {fixed(slow / seconds, 1)} times as long."
        if state["data"] != "sample":
            return f"{said} The large data are random ratings, made for timing: they have no error to show."
        if state["optimizer"] == "SparseAdam":
            return f"{said} Errors are of Adam: SparseAdam is another algorithm."
        rows = self.errors(state)
        reached = [row for row in rows if row["mse"] is not None]
        for row in rows:
            if row["batch_size"] == state["batch_size"]:
                said += f" In {fixed(state['budget'], 1)} s of training, {_told(row, self.data['seeds'])}."
        if reached:
            best = min(reached, key=lambda row: row["mse"])
            said += f" The lowest is {fixed(best['mse'], 3)}, with batches of {fixed(best['batch_size'])}."
        return said

    def picture(self):
        """Stages of an epoch, one change after another, and errors in equal seconds for two ways of logging."""
        state, plans = dict(self.state), {}
        changes = {
            "the start": {},
            "whole batches": {"loader": "whole batches"},
            "log in batches": {"logging": "in batches"},
        }
        for name, change in (changes | {"fused Adam": {"optimizer": "fused Adam"}}).items():
            state |= change
            if stages := self.stages(state):
                plans[name] = stages
        fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
        ends = [0.0] * len(plans)
        for stage, hatch in zip(self.data["stages"], itertools.cycle(["", "//", "..", "xx", "\\\\"]), strict=False):
            widths = [stages[stage] for stages in plans.values()]
            left.barh(list(plans), widths, left=ends, hatch=hatch, label=stage, edgecolor="white")
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
        left.invert_yaxis()
        gain = f": {ends[0] / ends[-1]:.0f} times as fast" if ends and ends[-1] else ""
        left.set(title=f"One change after another{gain}", xlabel="seconds an epoch")
        left.legend(fontsize=8)
        for logging, style in (("a call a step", "s--"), ("in batches", "o-")):
            if logging not in self.data["options"]["logging"]:
                continue
            rows = [row for row in self.errors({**state, "logging": logging, "budget": 0.5}) if row["mse"] is not None]
            spans = [[row["mse"] - row["low"] for row in rows], [row["high"] - row["mse"] for row in rows]]
            sizes = [row["batch_size"] for row in rows]
            right.errorbar(
                sizes, [row["mse"] for row in rows], yerr=spans, fmt=style, capsize=3, label=f"log {logging}"
            )
        right.set_xscale("log", base=2)
        right.set(title="Error within 0.5 s, by how steps are logged", xlabel="batch size")
        right.set_ylabel("lowest validation MSE (stars²)")
        right.legend(fontsize=8)
        return fig


def _own_rates(errors_df: pl.DataFrame) -> dict[int, list[list[float]]]:
    """Give by batch size and epochs the learning rate with the lowest mean over the seeds, that mean and the range."""
    mse = pl.col("best_val_mse")
    keys = ["batch_size", "epochs"]
    over_seeds = errors_df.group_by(*keys, "learning_rate").agg(mse.mean().round(4), low=mse.min(), high=mse.max())
    best = over_seeds.sort(*keys, "best_val_mse", "learning_rate").group_by(keys, maintain_order=True).first()
    best = best.select("batch_size", "epochs", "learning_rate", "best_val_mse", "low", "high")
    return {
        size: [list(row) for row in df.drop("batch_size").iter_rows()]
        for (size,), df in best.group_by("batch_size", maintain_order=True)
    }


def _told(row: Mapping[str, Any], n_seeds: int) -> str:
    name, epochs = f"batches of {fixed(row['batch_size'])}", row["epochs"]
    if row["mse"] is None:
        return f"{name} get through no epoch"
    last = f", of which the table has {fixed(row['of_table'])}," if epochs > row["of_table"] else ""
    seeds = f"stars² at best (mean of {n_seeds} seeds, {fixed(row['low'], 3)} to {fixed(row['high'], 3)})"
    done = f"{fixed(epochs)} epoch{'s' if epochs > 1 else ''}{last}"
    return f"{name} get through {done} and reach {fixed(row['mse'], 3)} {seeds}"


def _time(s: float) -> str:
    return f"{fixed(1000 * s, 1)} ms" if s < 0.1 else f"{fixed(s, 2 if s < 10 else 1)} s"
