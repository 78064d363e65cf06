"""The scale of ratings that nobody has described, found from the ratings that were given."""

import re
from itertools import pairwise

import polars as pl

from utilities.releases import Scale

USUAL = ((0, 1), (-1, 1), (1, 5), (0.5, 5), (0, 5), (1, 10), (0.5, 10), (0, 10), (-10, 10), (0, 100), (-100, 100))
RARER = ((1, 3), (1, 4), (0.5, 4), (0, 4), (1, 6), (1, 7), (1, 20), (0, 20), (1, 100))  # only if both ends were given
STEPS = (10, 5, 1, 0.5, 0.25, 0.2, 0.1)
MAX_VALUES = 200  # with more ratings to choose from, a scale is as good as continuous
MAX_WIDTH = 200  # of a scale; what goes farther are counts


def read_scale(text: str) -> tuple[float, ...]:
    """Read the setting `MOVIELENS_SCALE`: `lowest:highest` or `lowest:highest:step`, empty if it is not set.

    Raises:
        ValueError: It has another form.
    """
    number = r"\s*(-?\d+(?:\.\d+)?)\s*"
    if not text:
        return ()
    found = re.fullmatch(rf"{number}:{number}(?::{number})?", text)
    values = tuple(float(value) for value in found.groups() if value) if found else (0, 0)
    if values[0] >= values[1] or min(values[2:], default=1) <= 0:
        raise ValueError(
            f"MOVIELENS_SCALE: {text!r} is not lowest:highest or lowest:highest:step, as 1:10 or 0.5:5:0.5"
        )
    return values


def read_not_rated(text: str) -> tuple[tuple[float, ...] | None, bool]:
    """Read the setting `MOVIELENS_NOT_RATED`: numbers, `none` and `empty`, separated by commas.

    Returns:
        The numbers that stand for no rating, none for `none`, None if nothing is said of them; and whether `empty` is said:
        rows without a value are left out.

    Raises:
        ValueError: It has another form.
    """
    words = [word.strip().lower() for word in text.split(",")] if text else []
    try:
        numbers = tuple(float(word) for word in words if word not in ("none", "empty"))
    except ValueError:
        raise ValueError(
            f"MOVIELENS_NOT_RATED: {text!r} is neither a number, as 0 or -1, nor 'empty', nor 'none'"
        ) from None
    return numbers if numbers or "none" in words else None, "empty" in words


def find_scale(counts_df: pl.DataFrame, asked: tuple[float, ...], source: str) -> tuple[Scale, str]:
    """Find the scale of ratings.

    The narrowest usual scale that holds the ratings, if they fill at least half of it, else from the lowest to the highest;
    the step is the largest usual one that all of them keep to.

    Args:
        counts_df: One row per value: `rating` f64 and `len`, how often it was given.
        asked: What `read_scale` read.
        source: What to call the ratings in messages.

    Returns:
        The scale, and a line that says how it was found.

    Raises:
        ValueError: The ratings are all one value, or no ratings but counts.
    """
    given = counts_df["rating"].sort()
    lowest, highest = given[0], given[-1]
    if lowest == highest and not asked:
        raise ValueError(
            f"{source}: every rating is {lowest:g}, so there is nothing to predict; if it is a list of what people did, "
            "models for implicit feedback fit it, not these"
        )
    ends = asked[:2] or _ends(lowest, highest)
    width = ends[1] - ends[0]
    if width > MAX_WIDTH and not asked:
        raise ValueError(
            f"{source}: the ratings go from {lowest:g} to {highest:g}, as counts do; if they are ratings, set "
            f"MOVIELENS_SCALE={lowest:g}:{highest:g}, if counts, take their logarithm first, in polars with "
            'pl.read_csv("…").with_columns(pl.col("…").log1p()).write_parquet("ratings.parquet")'
        )
    steps = (step for step in STEPS if step <= (1 if width < 50 else width / 5) and width / step <= MAX_VALUES)
    step = asked[2] if len(asked) > 2 else next((step for step in steps if _keep_to(given, ends[0], step)), None)
    found = f"found: the ratings go from {lowest:g} to {highest:g}; MOVIELENS_SCALE sets another"
    return Scale(
        *map(float, ends), step and float(step)
    ), f"{describe_scale(*ends, step)} ({'MOVIELENS_SCALE' if asked else found})"


def describe_scale(lowest: float, highest: float, step: float | None) -> str:
    """Say a scale in words."""
    return f"{lowest:g} to {highest:g}, " + (f"in steps of {step:g}" if step else "any value between")


def looks_unrated(counts_df: pl.DataFrame) -> float | None:
    """Find a value that more likely says "not rated" than how much something was liked.

    That is −1 below ratings that are not negative; a value farther from the rest than they are from each other, unless they
    go as far as counts do; and 0, at least 0.5 below the rest, if it was given more often than the next rating (beyond 10, a
    quarter of all) or lies more than twice as far from it as they do from each other.

    Args:
        counts_df: One row per value: `rating` f64 and `len`, how often it was given.

    Returns:
        The value, None if there is none.
    """
    counts_df = counts_df.sort("rating")
    values, counts = counts_df["rating"].to_list(), counts_df["len"].to_list()
    if len(values) < 4:
        return None
    if values[0] == -1 and values[1] >= 0:
        return values[0]
    if values[-1] - values[-2] > values[-2] - values[0] <= MAX_WIDTH:
        return values[-1]
    if values[1] - values[0] > values[-1] - values[1] <= MAX_WIDTH:
        return values[0]
    is_often = counts[0] > (counts[1] if values[-1] <= 10 else sum(counts) / 4)
    widest = max(high - low for low, high in pairwise(values[1:]))
    return values[0] if values[0] == 0 and values[1] >= 0.5 and (is_often or values[1] > 2 * widest) else None


def _ends(lowest: float, highest: float) -> tuple[float, float]:
    if (lowest, highest) in RARER:
        return lowest, highest
    fitting = (
        (low, high) for low, high in USUAL if low <= lowest and highest <= high and 2 * (highest - lowest) >= high - low
    )
    return min(fitting, key=lambda ends: ends[1] - ends[0], default=(lowest, highest))


def _keep_to(given: pl.Series, lowest: float, step: float) -> bool:
    """Say whether all ratings are whole numbers of steps above the lowest."""
    steps = (given - lowest) / step
    return bool(((steps - steps.round()).abs() < 1e-3).all())
