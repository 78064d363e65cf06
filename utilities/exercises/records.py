"""Keep what a learner has tried and solved, in a file of their own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from utilities.settings import work_folder

NAME = "progress.json"


@dataclass
class Record:
    """What is known of a learner and an exercise.

    Attributes:
        tries: Answers that were checked, the stub and interrupted checks not counted.
        hints: Hints seen.
        solved: When it was solved first, UTC; None if it was not.
        mistakes: How often each known mistake was made.
    """

    tries: int = 0
    hints: int = 0
    solved: str | None = None
    mistakes: dict[str, int] = field(default_factory=dict)

    def add(self, state: str, mistake: str | None) -> None:
        """Count a verdict."""
        if state == "untouched":
            return
        self.tries += 1
        if mistake:
            self.mistakes[mistake] = self.mistakes.get(mistake, 0) + 1
        if state == "solved" and self.solved is None:
            self.solved = datetime.now(UTC).isoformat(timespec="seconds")


def read(path: Path | None = None) -> dict[str, Record]:
    """Read the records by number of exercise; without a file there are none.

    Args:
        path: The file; the learner's own unless given.

    Raises:
        ValueError: The file is not one that this module has written; the message names it.
    """
    path = path or work_folder() / NAME
    if not path.exists():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {number: Record(**values) for number, values in stored.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} does not hold the progress of a learner ({error}): move it away to start anew"
        ) from None


@contextmanager
def record(number: str) -> Iterator[Record]:
    """Give an exercise's record to change, and write it, whoever else is writing.

    Raises:
        OSError: The folder cannot be written; the message names it.
        ValueError: The file there is not one that this module has written.
    """
    path = work_folder() / NAME
    with FileLock(path.with_name(f".{NAME}.lock"), timeout=10):
        records = read(path)
        yield records.setdefault(number, Record())
        part = path.with_name(f".{NAME}.part")
        text = json.dumps({key: asdict(records[key]) for key in sorted(records)}, indent=1, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
