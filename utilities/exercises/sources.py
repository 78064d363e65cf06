"""Read the exercises from their sources, `exercises/NN_name.py`.

A source is a script in the percent format that Jupyter tools know. The title of a cell says what it is: `setup`, `checks`,
and for each exercise `exercise`, `stub`, `solution`, `why`, `other`, `check`, `hint` and `mistake: <its name>`.
"""

import ast
import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from utilities.settings import ROOT

FOLDER = ROOT / "exercises"
ONCE = ("stub", "solution", "why", "other", "check")


@dataclass(frozen=True)
class Cell:
    """A cell: what its title says it is (`hint`, `mistake`, …), the name after a colon, whether it is prose, its text."""

    kind: str
    name: str
    is_prose: bool
    text: str


@dataclass(frozen=True)
class Mistake:
    """A known mistake: its name, what is said to who makes it, and code that makes it, behind `other`."""

    name: str
    message: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        sheet: The sheet it is on.
        number: For example `02.3`.
        stars: 1 for a line, 2 for a function, 3 for an experiment.
        title: What its heading says behind the stars.
        statement: Markdown, heading and all. Its first paragraph alone is what the notebook of the course lists.
        stub, solution, other: Code that a learner starts from, that solves it, and that solves it another way.
        why: Markdown, the reasoning behind the solution.
        check: Code of `mistake_in(answer)`, which gives the name of a known mistake or None, and asserts what has to hold.
        hints: Markdown, in the order they are given.
        mistakes: What learners do wrong.
    """

    sheet: "Sheet"
    number: str
    stars: int
    title: str
    statement: str
    stub: str
    solution: str
    why: str
    other: str
    check: str
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...]

    @property
    def summary(self) -> str:
        """The first paragraph of the statement, on one line."""
        return " ".join(self.statement.split("\n\n")[1].split())

    @property
    def answer(self) -> str:
        """The name of what a learner hands over: the argument of `mistake_in`."""
        (function,) = (n for n in ast.parse(self.check).body if getattr(n, "name", None) == "mistake_in")
        return function.args.args[0].arg

    @property
    def stubbed(self) -> ast.AST | None:
        """What the stub binds to the answer's name: a function, a class or a value."""
        for node in ast.parse(self.stub).body:
            if getattr(node, "name", None) == self.answer:
                return node
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == self.answer:
                return node.value
        return None


@dataclass(frozen=True)
class Sheet:
    """The exercises of one notebook: its file, its prose, the code before them and the code that all checks share."""

    path: Path
    intro: str
    setup: str
    checks: str

    @property
    def title(self) -> str:
        """The heading, for example `02 · Exercises: the inner product`."""
        return self.intro.splitlines()[0].removeprefix("# ")


def cells(text: str) -> list[Cell]:
    """Cut a script in the percent format into its cells."""
    found = []
    for options, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", text, re.MULTILINE):
        is_prose = "[markdown]" in options
        kind, _, name = options.replace("[markdown]", "").partition(":")
        body = re.sub(r"^# ?", "", body, flags=re.MULTILINE) if is_prose else body
        found.append(Cell(kind.strip(), name.strip(), is_prose, body.strip()))
    return found


def read_source(path: Path) -> tuple[Sheet, tuple[Exercise, ...]]:
    """Read the exercises of one notebook.

    Raises:
        ValueError: The source lacks a cell, or has one that it should not have; the message names both.
    """
    everything = cells(path.read_text(encoding="utf-8"))
    starts = [i for i, cell in enumerate(everything) if cell.kind == "exercise"] + [len(everything)]
    head = {cell.kind: cell.text for cell in everything[: starts[0]]}
    if set(head) != {"", "setup", "checks"}:
        raise ValueError(f"{path.name}: before the first exercise stand {sorted(head)}, not prose, setup and checks")
    sheet = Sheet(path, head[""], head["setup"], head["checks"])
    parts = (everything[start:end] for start, end in itertools.pairwise(starts))
    return sheet, tuple(_exercise(sheet, part) for part in parts)


def _exercise(sheet: Sheet, part: list[Cell]) -> Exercise:
    """Put one exercise together from its cells, the first of which is the statement."""
    statement = part[0].text
    heading = re.match(r"## (\d\d\.\d+) (★+) (.+)\n\n", statement)
    if not heading:
        raise ValueError(f"{sheet.path.name}: {statement[:60]!r} does not begin with '## NN.n ★ title' and a paragraph")
    number, stars, title = heading.groups()
    by_kind = {kind: [cell for cell in part if cell.kind == kind] for kind in dict.fromkeys(cell.kind for cell in part)}
    for kind in ONCE:
        if len(by_kind.get(kind, ())) != 1:
            raise ValueError(f"{sheet.path.name}, {number}: {len(by_kind.get(kind, ()))} cells {kind!r}, not one")
    if unknown := set(by_kind) - {"exercise", *ONCE, "hint", "mistake"}:
        raise ValueError(f"{sheet.path.name}, {number}: no cell is called {sorted(unknown)[0]!r}")
    mistakes = by_kind.get("mistake", [])
    codes = {cell.name: tuple(c.text for c in mistakes if c.name == cell.name and not c.is_prose) for cell in mistakes}
    messages = {cell.name: cell.text for cell in mistakes if cell.is_prose}
    if bad := [name for name in codes if not codes[name] or name not in messages]:
        raise ValueError(f"{sheet.path.name}, {number}: the mistake {bad[0]!r} needs a message and code")
    return Exercise(
        sheet=sheet,
        number=number,
        stars=len(stars),
        title=title,
        statement=statement,
        hints=tuple(cell.text for cell in by_kind.get("hint", ())),
        mistakes=tuple(Mistake(name, messages[name], codes[name]) for name in messages),
        **{kind: by_kind[kind][0].text for kind in ONCE},
    )


def all_exercises() -> dict[str, Exercise]:
    """Read all sources: the exercises by number, in order.

    Raises:
        FileNotFoundError: The package is not in a checkout of the course.
    """
    paths = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
    if not paths:
        raise FileNotFoundError(
            f"no exercises in {FOLDER}: they are part of the course's repository, not of the package"
        )
    return dict(_by_number(tuple((path, path.stat().st_mtime_ns) for path in paths)))


@cache
def _by_number(versions: tuple[tuple[Path, int], ...]) -> dict[str, Exercise]:
    """Read sources once for each version of them."""
    return {exercise.number: exercise for path, _ in versions for exercise in read_source(path)[1]}
