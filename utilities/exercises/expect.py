"""What checks ask of values; each gives the value as the check needs it, or says what was found."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np


def number(value: Any, what: str = "your answer") -> float:
    """Take a value as one finite number: a Python, numpy or torch one.

    Raises:
        AssertionError: It is none; the message says what it is.
    """
    found = array(value, what)
    assert found.size == 1, f"{what} should be one number, it has the shape {list(found.shape)}"
    return float(found.reshape(()))


def numbers(value: Any, what: str = "your answer", at_least: int = 1) -> np.ndarray:
    """Take a value as a row of finite numbers, `at_least` of them.

    Raises:
        AssertionError: It is none; the message says what it is.
    """
    found = array(value, what)
    assert found.ndim == 1, f"{what} should be a list of numbers, it has the shape {list(found.shape)}"
    assert len(found) >= at_least, f"{what} should hold at least {at_least} numbers, it holds {len(found)}"
    return found


def runs(value: Any, what: str = "your answer", at_least: int = 3) -> np.ndarray:
    """Take a value as a row of finite numbers from `at_least` runs with seeds of their own, no two of them equal.

    Raises:
        AssertionError: It is none; the message says what it is.
    """
    found = numbers(value, what, at_least)
    assert len(set(found.tolist())) == len(found), (
        f"Two of your runs in {what} agree to the last digit: one seed counted twice, or numbers that were rounded."
    )
    return found


def array(value: Any, what: str = "your answer", shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Take a value as an array of finite numbers, float64: a list, a polars series, a numpy array or a tensor.

    Raises:
        AssertionError: It is none, or of another shape; the message says what it is.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        found = np.asarray(value)
        assert found.dtype.kind in "iuf"
        found = found.astype(np.float64)
    except (TypeError, ValueError, AssertionError):
        raise AssertionError(f"{what} should be made of numbers, it is `{type(value).__name__}`") from None
    if shape is not None:
        assert found.shape == shape, f"{what} should have the shape {list(shape)}, it has {list(found.shape)}"
    assert np.isfinite(found).all(), f"{what} holds a number that is not finite"
    return found


def one_of(value: Any, allowed: Iterable[str | bool], what: str = "your answer") -> Any:
    """Take a value that is one of a few words or truth values.

    Raises:
        AssertionError: It is none of them; the message says which there are.
    """
    allowed = list(allowed)
    value = value.item() if isinstance(value, np.generic) else value
    given = repr(value) if isinstance(value, str) else kind(value)
    assert isinstance(value, type(allowed[0])) and value in allowed, (
        f"{what} should be one of {', '.join(map(repr, allowed))}; yours is {given}"
    )
    return value


def kind(value: Any) -> str:
    """Name the type of a value, in a sentence; of a small value, the value itself."""
    if value is None or type(value) in (bool, int, float):  # whose text is short and never fails
        return f"`{value!r}`"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in set('aeiou') else 'a'} `{name}`"


def close(found: Any, expected: Any, tolerance: float = 1e-4) -> bool:
    """Say whether numbers agree, relative to the larger and to 1e-8; of other shapes they do not."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=tolerance, atol=1e-8))


def overlap(some: Any, others: Any) -> bool:
    """Say whether the ranges of two rows of numbers overlap: then no difference was seen."""
    return max(min(some), min(others)) <= min(max(some), max(others)) and not math.isnan(sum(some) + sum(others))
