import functools
import math
import time

import nbformat
import numpy as np
import pytest
import torch

from conftest import REPOSITORY
from notebooks import export_exercises
from utilities.exercises import judging, sources

SHEETS = {path: sources.read_source(path) for path in sorted((REPOSITORY / "exercises").glob("[0-9]*.py"))}
EXERCISES = [exercise for _, exercises in SHEETS.values() for exercise in exercises]
NAMED = {"ids": lambda value: value.number if isinstance(value, sources.Exercise) else str(value)}


def keys(exercise):
    """Give the keys of the dictionary that an exercise wants; of another kind of answer none."""
    return [key.value for key in getattr(exercise.stubbed, "keys", ())]


DICTIONARIES = [exercise for exercise in EXERCISES if keys(exercise)]


@pytest.fixture(params=EXERCISES, **NAMED)
def exercise(request):
    return request.param


@pytest.fixture(params=SHEETS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def answer_of():
    """Run code of an exercise, one behind the other and all behind its sheet's set-up: give what is handed over."""

    @functools.cache
    def behind(exercise, *codes):
        namespace = {} if not codes else dict(behind(exercise.sheet if len(codes) == 1 else exercise, *codes[:-1]))
        exec(codes[-1] if codes else exercise.setup, namespace)
        return namespace

    return lambda exercise, *codes: behind(exercise, *codes)[exercise.answer]


def test_the_stub_is_not_solved(exercise, answer_of):
    verdict = judging.judge(exercise, answer_of(exercise, exercise.stub))
    assert verdict.state == "untouched"


@pytest.mark.parametrize("way", ["solution", "other"])
def test_a_solution_is_solved(exercise, answer_of, way):
    verdict = judging.judge(exercise, answer_of(exercise, getattr(exercise, way)))
    assert (verdict.state, verdict.message) == ("solved", "")


def test_each_known_mistake_gets_its_own_message(exercise, answer_of):
    found = {
        mistake.name: [judging.judge(exercise, answer_of(exercise, exercise.other, code)) for code in mistake.codes]
        for mistake in exercise.mistakes
    }
    for mistake in exercise.mistakes:
        expected = judging.Verdict("mistake", mistake.message, mistake.name)
        assert found[mistake.name] == [expected] * len(mistake.codes)


class Hostile:
    """Raises whatever it is asked."""

    def __getattribute__(self, name):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


def raising(*_, **__):
    raise RuntimeError("on\npurpose")


def leaving(*_, **__):
    raise SystemExit


def recursing(*args, **kwargs):
    return recursing(*args, **kwargs)


JUNK = {
    "nothing": None,
    "dots": ...,
    "text": "0.7",
    "bytes": b"0.7",
    "not a number": math.nan,
    "infinity": math.inf,
    "minus one": -1,
    "a truth value": True,
    "an empty list": [],
    "an empty dictionary": {},
    "a dictionary": {1: 2, "conclusion": object()},
    "a scalar": torch.tensor(0.5),
    "a wrong shape": torch.zeros(3, 2, 5),
    "an array of objects": np.array([None, "x"], dtype=object),
    "a module": torch.nn.Linear(2, 2),
    "a class": int,
    "hostile": Hostile(),
    "raises": raising,
    "leaves": leaving,
    "recurses": recursing,
    "gives nothing": lambda *_, **__: None,
    "gives text": lambda *_, **__: "text",
    "gives not a number": lambda *_, **__: math.nan,
    "gives a wrong shape": lambda *_, **__: torch.zeros(3, 2, 5),
    "gives a dictionary": lambda *_, **__: {},
    "gives a hostile object": lambda *_, **__: Hostile(),
    "has no argument": lambda: 1.0,
    "a generator": (x for x in ()),
}


@pytest.mark.parametrize("junk", JUNK)
def test_junk_gets_a_sentence(exercise, junk):
    verdict = judging.judge(exercise, JUNK[junk])
    assert verdict.state in {"unsolved", "untouched"}
    assert verdict.message.strip()
    assert "\n" not in verdict.message and "Traceback" not in verdict.message


@pytest.mark.parametrize("junk", [name for name in JUNK if name != "dots"])
@pytest.mark.parametrize("exercise", DICTIONARIES, **NAMED)
def test_junk_in_every_entry_of_a_dictionary_gets_a_sentence(exercise, junk):
    verdict = judging.judge(exercise, dict.fromkeys(keys(exercise), JUNK[junk]))
    assert verdict.state in {"unsolved", "mistake"}
    assert verdict.message.strip()


def test_an_answer_that_never_ends_is_stopped(exercise):
    def endless(*_, **__):
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                continue

    start = time.monotonic()
    verdict = judging.judge(exercise, endless, limit_s=0.2)
    assert verdict.state == "unsolved"
    assert time.monotonic() - start < 5


def test_it_has_two_or_three_hints_two_mistakes_and_says_why(exercise):
    assert exercise.stars in (1, 2, 3)
    assert 2 <= len(exercise.hints) <= 3
    assert len(exercise.mistakes) >= 2
    assert len({mistake.message for mistake in exercise.mistakes}) == len(exercise.mistakes)
    assert len(exercise.why) > 80
    assert len(exercise.summary) > 40


@pytest.mark.parametrize("exercise", [exercise for exercise in EXERCISES if exercise.stars == 3], **NAMED)
def test_an_experiment_asks_for_a_conclusion(exercise):
    assert "conclusion" in keys(exercise)


def test_a_sheet_has_five_exercises_of_each_grade_in_order(path):
    sheet, exercises = SHEETS[path]
    assert [exercise.number for exercise in exercises] == [f"{path.name[:2]}.{i}" for i in range(1, len(exercises) + 1)]
    assert len(exercises) >= 5
    stars = [exercise.stars for exercise in exercises]
    assert stars == sorted(stars)
    assert set(stars) == {1, 2, 3}
    assert sheet.title.startswith(f"{path.name[:2]} · Exercises: ")


def test_every_notebook_has_a_sheet():
    notebooks = [path.stem for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb"))]
    assert [path.stem for path in SHEETS] == notebooks


def stored(*parts):
    return nbformat.read(REPOSITORY.joinpath(*parts), as_version=4)


def test_the_stub_notebook_is_what_the_source_gives(path):
    assert stored("exercises", f"{path.stem}.ipynb") == export_exercises.stub_notebook(*SHEETS[path])


def test_the_solved_notebook_is_what_the_source_gives_executed(path):
    solved = stored("exercises", "solved", f"{path.stem}.ipynb")
    assert [cell.source for cell in solved.cells] == [
        cell.source for cell in export_exercises.solved_notebook(*SHEETS[path]).cells
    ]
    code = [cell for cell in solved.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    said = [output for cell in code for output in cell.outputs]
    assert [output.output_type for output in said] == ["display_data"] * len(SHEETS[path][1])
    assert all("is solved" in output.data["text/markdown"] for output in said)


def test_the_notebook_lists_the_statements_and_links_the_stubs(path):
    course = stored("notebooks", f"{path.stem}.ipynb")
    section = export_exercises.section(*SHEETS[path])
    assert sum(section in cell.source for cell in course.cells) == 1
    assert (REPOSITORY / "notebooks" / f"../exercises/{path.stem}.ipynb").is_file()
    assert f"](../exercises/{path.stem}.ipynb)" in section
