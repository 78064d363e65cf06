"""Exercises that know the mistakes that learners make: `check`, `hint`, `solution` and `progress`."""

import sys
from pathlib import Path
from typing import Any

import polars as pl

from utilities.exercises import records
from utilities.exercises.judging import judge
from utilities.exercises.sources import Exercise, all_exercises


def check(number: str, answer: Any) -> None:
    """Show whether an answer is right, and if it is not, what to do next. It never raises, whatever it is given.

    Args:
        number: The exercise, for example `"02.3"`.
        answer: What the exercise asks for: a value, a function, a class or a trained model.
    """
    if not (exercise := _find(number)):
        return
    verdict = judge(exercise, answer)
    lost = _keep(exercise, lambda record: record.add(verdict.state, verdict.mistake))
    if verdict.state == "solved":
        _show(f"✓ **{number} is solved.** {_what_next(exercise)}", lost)
    else:
        _show(f"✗ **{number} is not solved yet.** {verdict.message}\n\n{_what_helps(exercise, verdict.state)}", lost)


def hint(number: str) -> None:
    """Show the hints of an exercise seen so far, and one more.

    Args:
        number: The exercise, for example `"02.3"`.
    """
    if not (exercise := _find(number)):
        return
    seen = len(exercise.hints)

    def count(record: records.Record) -> None:
        nonlocal seen
        seen = record.hints = min(record.hints + 1, len(exercise.hints))

    lost = _keep(exercise, count)
    shown = [f"**Hint {i} of {len(exercise.hints)}.** {text}" for i, text in enumerate(exercise.hints[:seen], start=1)]
    if seen == len(exercise.hints):
        shown.append(f'That was the last one. After a try, `solution("{number}")` shows one way.')
    _show("\n\n".join(shown), lost)


def solution(number: str) -> None:
    """Show a solution and the reasoning behind it, once an answer of yours was checked.

    Args:
        number: The exercise, for example `"02.3"`.
    """
    if not (exercise := _find(number)):
        return
    tries, lost = _read()
    if not lost and not tries.get(number, records.Record()).tries:
        _show(f'Try {number} first: give `check("{number}", …)` an answer of yours. `hint("{number}")` helps.')
        return
    _show(f"One way to solve {number}:\n\n```python\n{exercise.solution}\n```\n\n{exercise.why}", lost)


def progress() -> None:
    """Show for each notebook which of its exercises you have solved, and what is next."""
    done, lost = _read()
    exercises = all_exercises()
    rows = [("exercises", "solved", "", "tried, not solved")]
    for sheet in dict.fromkeys(exercise.sheet for exercise in exercises.values()):
        mine = [number for number, exercise in exercises.items() if exercise.sheet == sheet]
        solved = [number for number in mine if number in done and done[number].solved]
        tried = [number for number in mine if number in done and done[number].tries and number not in solved]
        bar = "█" * len(solved) + "░" * (len(mine) - len(solved))
        rows.append((sheet.title.replace("Exercises: ", ""), bar, f"{len(solved)} of {len(mine)}", ", ".join(tried)))
    left = [exercise for number, exercise in exercises.items() if number not in done or not done[number].solved]
    left.sort(
        key=lambda exercise: exercise.number[:2] not in {number[:2] for number in done}
    )  # what is begun comes first
    next_one = f"Next: {left[0].number} {'★' * left[0].stars} {left[0].title}" if left else "All are solved."
    _show(_table(rows), next_one, lost)


def class_progress(folder: str | Path) -> pl.DataFrame:
    """Read the progress files that learners have handed in.

    Args:
        folder: Folder of copies of `work/progress.json`, each named after its learner, for example `ada.json`.

    Returns:
        One row for each learner and exercise tried or hinted at: `learner`, `exercise` (str), `solved` (bool),
        `tries`, `hints` (i64) and `mistakes` (list of str), those made, the most frequent first.

    Raises:
        FileNotFoundError: The folder holds no `.json` file.
        ValueError: A file holds no learner's progress; the message names it.
    """
    paths = sorted(Path(folder).expanduser().glob("*.json"))
    if not paths:
        raise FileNotFoundError(
            f"no .json file in {folder}: copy the learners' work/progress.json there, one name each"
        )
    rows = [
        (path.stem, number, of.solved is not None, of.tries, of.hints, sorted(of.mistakes, key=of.mistakes.get)[::-1])
        for path in paths
        for number, of in records.read(path).items()
    ]
    types = {"learner": pl.String, "exercise": pl.String, "solved": pl.Boolean, "tries": pl.Int64, "hints": pl.Int64}
    return pl.DataFrame(rows, schema=types | {"mistakes": pl.List(pl.String)}, orient="row")


def _find(number: Any) -> Exercise | None:
    """Find an exercise, or show which there are."""
    try:
        exercises = all_exercises()
    except (OSError, ValueError) as error:
        _show(str(error))
        return None
    if isinstance(number, str) and number in exercises:
        return exercises[number]
    own = [name for name in exercises if isinstance(number, str) and name[:2] == number[:2]]
    _show(
        f"There is no such exercise: the first argument is its number in quotes, one of {', '.join(own or exercises)}."
    )
    return None


def _keep(exercise: Exercise, change) -> str:
    """Change the learner's record of an exercise; say so if it cannot be kept."""
    try:
        with records.record(exercise.number) as record:
            change(record)
    except (OSError, ValueError) as error:
        return f"Your progress is not kept: {error}"
    return ""


def _read() -> tuple[dict[str, records.Record], str]:
    """Read the learner's records; say so if that cannot be done."""
    try:
        return records.read(), ""
    except (OSError, ValueError) as error:
        return {}, f"Your progress cannot be read: {error}"


def _what_next(exercise: Exercise) -> str:
    """Say where to go from a solved exercise."""
    numbers = [number for number in all_exercises() if number[:2] == exercise.number[:2]]
    compare = f'`solution("{exercise.number}")` shows one way.'
    if exercise.number == numbers[-1]:
        return f"It is the last of this notebook: `progress()` shows what is left. {compare}"
    return f"Next: {numbers[numbers.index(exercise.number) + 1]}. {compare}"


def _what_helps(exercise: Exercise, state: str) -> str:
    """Say what to do about an exercise that is not solved."""
    helps = f'`hint("{exercise.number}")` gives a hint'
    return f"{helps}." if state == "untouched" else f'{helps}, `solution("{exercise.number}")` one way to solve it.'


def _table(rows: list[tuple[str, ...]]) -> str:
    """Give a Markdown table whose columns are as wide as what they hold, the first row its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows = [rows[0], tuple("-" * max(width, 3) for width in widths), *rows[1:]]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows
    )


def _show(*paragraphs: str) -> None:
    """Show Markdown in a notebook, its source elsewhere."""
    text = "\n\n".join(filter(None, paragraphs))
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(text)
    else:
        ipython.display.display({"text/plain": text, "text/markdown": text}, raw=True)
