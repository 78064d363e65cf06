"""What the prose says of data or a method, registered where the code can prove it wrong."""

import os
import re

from utilities.settings import settings

SIGNS = {True: "✓", False: "✗", None: "○"}  # whether a claim holds here; None: it was not tried here
UNTRIED = (
    "were not tried on it: they are of experiments with the built-in sample, or the notebook says what they lack here"
)
LINE = re.compile(rf"^([{''.join(SIGNS.values())}]) (.+)$", re.MULTILINE)  # as `claim` prints it


def claim(sentence: str, holds: bool, *, of_sample: bool = False) -> None:
    """Print a claim with a ✓ if it holds here and a ✗ if not; a ○ if it is of other data.

    Where the course checks itself (`make run`, `make refresh` and `make test` set `MOVIELENS_CLAIMS=strict`), a claim that
    does not hold on the built-in sample, with the default settings, is an error. On other data, with other settings or in a
    notebook of your own it is a finding: the notebook goes on.

    Args:
        sentence: The claim, without numbers that depend on the data.
        holds: Whether it does, one truth value.
        of_sample: Whether it is of the built-in sample whatever the settings, as what rests on a stored table is. On other
            data it says nothing of them: a ○.

    Raises:
        AssertionError: The claim does not hold where it has to.
        ValueError: `holds` is not one truth value.
    """
    try:
        holds = bool(holds)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"claim {sentence!r}: {holds!r} is not one truth value") from error
    on_sample = settings().on_the_sample
    if on_sample and not holds and os.environ.get("MOVIELENS_CLAIMS") == "strict":
        raise AssertionError(f"does not hold: {sentence}")
    print(SIGNS[None if holds and of_sample and not on_sample else holds], sentence)


def claims_in(printed: str) -> list[tuple[bool | None, str]]:
    """Find the claims in what a cell has printed: whether each holds, None if it was not tried, and its words."""
    holds = {sign: holds for holds, sign in SIGNS.items()}
    return [(holds[sign], sentence) for sign, sentence in LINE.findall(printed)]
