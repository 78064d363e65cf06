"""What the prose says of data or a method, registered where the code can prove it wrong."""

import os
import re

from utilities.releases import RELEASES
from utilities.settings import settings

LINE = re.compile(r"^(✓|✗) (.+)$", re.MULTILINE)  # as `claim` prints it


def claim(sentence: str, holds: bool) -> None:
    """Print a claim with a ✓ if it holds here and a ✗ if not.

    Where the course checks itself (`make run`, `make refresh` and `make test` set `MOVIELENS_CLAIMS=strict`), a claim that
    does not hold on the built-in sample, with the default settings, is an error. On other data, with other settings or in a
    notebook of your own it is a finding: the notebook goes on.

    Args:
        sentence: The claim, without numbers that depend on the data.
        holds: Whether it does, one truth value.

    Raises:
        AssertionError: The claim does not hold where it has to.
        ValueError: `holds` is not one truth value.
    """
    try:
        holds = bool(holds)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"claim {sentence!r}: {holds!r} is not one truth value") from error
    if not holds and _has_to_hold():
        raise AssertionError(f"does not hold: {sentence}")
    print("✓" if holds else "✗", sentence)


def claims_in(printed: str) -> list[tuple[bool, str]]:
    """Find the claims in what a cell has printed: whether each holds, and its words."""
    return [(sign == "✓", sentence) for sign, sentence in LINE.findall(printed)]


def _has_to_hold() -> bool:
    """Say whether the course checks itself, on what its claims were made for."""
    config = settings()
    is_default = (config.dataset, config.top_movies, config.sample) == (
        "built-in",
        RELEASES["built-in"].top_movies,
        None,
    )
    return is_default and os.environ.get("MOVIELENS_CLAIMS") == "strict"
