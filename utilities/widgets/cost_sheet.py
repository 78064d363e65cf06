"""Notebook 08: what a training plan takes."""

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from utilities.widgets.base import Widget, fixed

# Seconds of a step, of a rating, of a number looked up and of a number walked through, and bytes a second between two
# processes: the fit that notebook 08 has printed, which these numbers give again to a hundredth.
PRICES = {"Adam": [0.0, 1.52e-7, 1.27e-9, 2.11e-9], "SparseAdam": [7.91e-4, 3.19e-7, 1.01e-8, 0.0]}
LINK = 1.2e9
MACHINE = (
    "Seconds: the fit of notebook 08 on 2 cores (x86_64), torch 2.13.0, one thread; the link: its loopback, 1.2 GB/s."
)
STAGES = ["taking steps", "ratings", "whole tables", "sending"]


class CostSheet(Widget):
    """Bytes, devices, traffic and seconds of a plan, by users, movies, factors, batch, devices and optimizer."""

    name = "cost_sheet"

    def __init__(
        self,
        prices: Mapping[str, Sequence[float]] | None = None,
        link: float | None = None,
        device: float = 80e9,
        machine: str | None = None,
    ):
        """Take the prices of a machine, and the bytes that a device holds.

        Args:
            prices: For `Adam` and `SparseAdam` the seconds of a step, of a rating, of a number looked up and of a number
                walked through, as notebook 08 fits them; unless given, those that it once found.
            link: Bytes a second that a process sends; unless given, of the same machine.
            device: Bytes that a device holds.
            machine: Where the seconds come from, in a sentence.
        """
        machine = machine or (
            MACHINE if prices is None and link is None else "Seconds at the prices and the link given."
        )
        prices = {name: [float(price) for price in (prices or PRICES)[name]] for name in ("Adam", "SparseAdam")}
        state = {
            "users": 100_000_000,
            "movies": 1_000_000,
            "k": 32,
            "batch": 65_536,
            "devices": 16,
            "optimizer": "Adam",
        }
        data = {
            "prices": prices,
            "link": float(link or LINK),
            "device": float(device),
            "ratings": 150,
            "machine": machine,
        }
        super().__init__(data, state)

    def cost(self, state: Mapping[str, Any]) -> dict[str, float]:
        """Give what a plan takes, as `cost` of notebook 08."""
        data, devices, is_sharded = self.data, state["devices"], state["optimizer"] == "SparseAdam"
        in_all = self._in_all(state)
        copies = 1 if in_all <= data["device"] else math.inf
        n_steps, sent = math.ceil(data["ratings"] * state["users"] / state["batch"]), self._sent(state)
        return {
            "GB a device": in_all / (devices if is_sharded else 1) / 1e9,
            "devices needed": float(math.ceil(in_all / data["device"]) if is_sharded else copies),
            "steps": n_steps,
            "MB a step": sent / 1e6,
            "GB an epoch": n_steps * sent / 1e9,
            "seconds an epoch": n_steps * functools.reduce(operator.add, self._step(state)),
        }

    @staticmethod
    def _in_all(state: Mapping[str, Any]) -> int:
        """Give the bytes of tables, averages and gradient."""
        row = 4 * (state["k"] + 1)
        tables = (state["users"] + state["movies"]) * row
        return 3 * tables + (2 * state["batch"] * (row + 8) if state["optimizer"] == "SparseAdam" else tables)

    def _sent(self, state: Mapping[str, Any]) -> float:
        row, elsewhere = 4 * (state["k"] + 1), (state["devices"] - 1) / state["devices"]
        if state["optimizer"] == "SparseAdam":
            return 2 * (state["batch"] / state["devices"]) * elsewhere * (8 + 2 * row)
        return 2 * elsewhere * ((state["users"] + state["movies"]) * row)

    def _step(self, state: Mapping[str, Any]) -> list[float]:
        """Give the seconds of a step, by `STAGES`."""
        share, k, is_sharded = state["batch"] / state["devices"], state["k"], state["optimizer"] == "SparseAdam"
        once, rating, looked, walked = self.data["prices"][state["optimizer"]]
        tables = 0 if is_sharded else (state["users"] + state["movies"]) * (k + 1) * walked
        return [once, share * rating + 2 * share * (k + 1) * looked, tables, self._sent(state) / self.data["link"]]

    @property
    def value(self) -> dict[str, float]:
        """What the plan on show takes, as `cost` of notebook 08."""
        return self.cost(self.state)

    def text(self, state: Mapping[str, Any]) -> str:
        """Say what a plan takes."""
        plan, step, devices = self.cost(state), self._step(state), state["devices"]
        needed, sent = plan["devices needed"], self._sent(state)
        more = "too much on any number of devices, as each holds a copy"
        more = f"too much: it takes {fixed(needed)} devices" if needed < math.inf else more
        does_fit = needed <= devices
        fits = "which fits" if does_fit else more
        many = f"Each of {fixed(devices)} devices" if devices > 1 else "The device"
        sends = f"{'sends' if does_fit else 'would send'} {_bytes(sent)} a step" if sent else "sends nothing"
        whole = functools.reduce(operator.add, step)
        shares = [100 * part / whole for part in step]
        most = shares.index(max(shares))
        held = _bytes(self._in_all(state) / (devices if state["optimizer"] == "SparseAdam" else 1))
        epoch = f"{_time(plan['seconds an epoch'])}, {fixed(shares[most])} % of it for {STAGES[most]}"
        return f"{many} holds {held}, {fits}, and {sends}. An epoch {'takes' if does_fit else 'would take'} {epoch}."

    def picture(self):
        """What each device holds, and what an epoch takes, by devices, for both optimizers."""
        fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
        devices = [1, 2, 4, 8, 16, 32, 64]
        for optimizer, style in (("Adam", "o-"), ("SparseAdam", "s--")):
            plans = [self.cost({**self.state, "devices": n, "optimizer": optimizer}) for n in devices]
            axes[0].plot(devices, [plan["GB a device"] for plan in plans], style, label=optimizer)
            axes[1].plot(devices, [plan["seconds an epoch"] / 3600 for plan in plans], style, label=optimizer)
        axes[0].axhline(self.data["device"] / 1e9, color="0.2", linestyle=":", label="a device")
        axes[0].set(title="Adam copies its tables, SparseAdam cuts them", ylabel="gigabytes on each device")
        axes[1].set(title="More devices shorten the epoch of one of them", ylabel="hours an epoch")
        for ax in axes:
            ax.set(xscale="log", yscale="log", xlabel=f"devices, {fixed(self.state['users'])} users")
            ax.set_xticks(devices, devices)
            ax.minorticks_off()
            ax.legend()
        return fig


def _bytes(n: float) -> str:
    size, unit = next(
        ((size, unit) for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")) if n >= size), (1e3, "kB")
    )
    return f"{fixed(n / size, 1)} {unit}"


def _time(s: float) -> str:
    units = ((31_557_600, "years"), (86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
    size, unit = next(((size, unit) for size, unit in units if s >= size), (1e-3, "milliseconds"))
    return f"{fixed(s / size, 1)} {unit}"
