import ast
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import polars as pl
import pytest
import torch

import utilities
from conftest import REPOSITORY
from utilities.exercises import expect, judging, records, sources

SOURCE = '''# %% [markdown]
# # 01 · Exercises: small ones

# %% setup
start = 1

# %% checks
import random

import torch

# %% exercise [markdown]
# ## 01.1 ★ Two
#
# How much is one and one? You may count on
# your fingers.
#
# Hand over a number.

# %% stub
two = ...

# %% solution
two = start + 1

# %% why [markdown]
# Count on.

# %% other
two = 2.0

# %% check
def mistake_in(two):
    random.random(), torch.rand(1)
    if two == 11:
        return "written side by side"
    assert two == 2, f"{two} is not it."

# %% hint [markdown]
# Take a finger.

# %% hint [markdown]
# And another.

# %% mistake: written side by side [markdown]
# You have put them side by side.

# %% mistake: written side by side
two = int("1" + "1")

# %% exercise [markdown]
# ## 01.2 ★★ Twice
#
# Double a number.

# %% stub
def twice(number):
    """Give twice the number."""
    ...

# %% solution
def twice(number):
    return 2 * number

# %% why [markdown]
# So it is.

# %% other
def twice(number):
    return number + number

# %% check
def mistake_in(twice):
    if twice(3) == 9:
        return "squared"
    assert twice(3) == 6 and twice(0) == 0

# %% hint [markdown]
# Multiply.

# %% hint [markdown]
# By two.

# %% mistake: squared [markdown]
# That is the square.

# %% mistake: squared
def twice(number):
    return number**2
'''


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Give exercises and a learner's folder for each test alone."""
    monkeypatch.setenv("MOVIELENS_WORK_DIR", str(tmp_path / "work"))
    monkeypatch.setattr(sources, "FOLDER", tmp_path / "exercises")
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / "01_small.py").write_text(SOURCE)
    return tmp_path


def said(capsys):
    return capsys.readouterr().out.strip()


def test_a_source_is_cut_into_its_parts():
    one, two = sources.all_exercises().values()
    assert (one.number, one.stars, one.title, one.answer) == ("01.1", 1, "Two", "two")
    assert one.summary == "How much is one and one? You may count on your fingers."
    assert one.hints == ("Take a finger.", "And another.")
    assert one.mistakes == (
        sources.Mistake("written side by side", "You have put them side by side.", ('two = int("1" + "1")',)),
    )
    assert one.sheet.title == "01 · Exercises: small ones"
    assert two.answer == "twice"
    assert two.stub == 'def twice(number):\n    """Give twice the number."""\n    ...'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# %% why [markdown]\n# Count on.\n", "", r"01_small.py, 01.1: 0 cells 'why', not one"),
        ("# %% other\ntwo", "# %% otter\ntwo", r"01.1: 0 cells 'other'"),
        ("# %% hint [markdown]\n# Take", "# %% hnt [markdown]\n# Take", r"01.1: no cell is called 'hnt'"),
        ("## 01.1 ★ Two", "## Two", r"01_small.py: '## Two.*does not begin with"),
        ("# %% setup\n", "# %% set-up\n", r"before the first exercise stand"),
        (
            "# %% mistake: squared [markdown]\n# That is the square.\n",
            "",
            r"01.2: the mistake 'squared' needs a message",
        ),
    ],
)
def test_a_source_that_lacks_something_is_told_by_name(folder, old, new, message):
    assert old in SOURCE
    (folder / "exercises" / "01_small.py").write_text(SOURCE.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        sources.all_exercises()


def test_without_a_checkout_there_are_no_exercises_and_a_sentence_says_so(folder, capsys):
    (folder / "exercises" / "01_small.py").unlink()
    for call in (
        lambda: utilities.check("01.1", 2),
        lambda: utilities.hint("01.1"),
        lambda: utilities.solution("01.1"),
    ):
        call()
        assert said(capsys).startswith("no exercises in ")
    with pytest.raises(FileNotFoundError, match="no exercises in "):
        utilities.progress()


def test_a_right_answer_is_solved_and_the_next_exercise_named(capsys):
    utilities.check("01.1", 2)
    assert said(capsys) == '✓ **01.1 is solved.** Next: 01.2. `solution("01.1")` shows one way.'
    utilities.check("01.2", lambda number: number + number)
    assert said(capsys).startswith("✓ **01.2 is solved.** It is the last of this notebook")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (11, "You have put them side by side."),
        (3, "3 is not it."),
        (..., "It is still `...`: put your answer in its place."),
        (None, "None is not it."),
        (torch.zeros(2), r"The check cannot use a `Tensor`: `RuntimeError: Boolean value of Tensor"),
    ],
)
def test_any_other_answer_gets_its_message_and_what_helps(answer, message, capsys):
    utilities.check("01.1", answer)
    text = said(capsys)
    assert text.startswith(f"✗ **01.1 is not solved yet.** {message}")
    assert 'hint("01.1")' in text


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda number: 1 / 0, "Called by the check, it stopped with `ZeroDivisionError: division by zero`"),
        (lambda number: None, "Called by the check, it gives nothing: does every way through it end with `return`?"),
        (lambda: 1, "Called by the check, it stopped with `TypeError: "),
        (6, "Hand over the function itself, `twice` without brackets, and not `6`."),
        (lambda number: number + 4, "What has to hold does not hold."),
    ],
)
def test_a_function_is_told_what_it_does(answer, message, capsys):
    utilities.check("01.2", answer)
    assert message in said(capsys)


def test_a_stub_is_no_try_wherever_it_is_written(capsys):
    namespace = {}
    exec("x = 1\n\n\n" + sources.all_exercises()["01.2"].stub, namespace)
    utilities.check("01.2", namespace["twice"])
    assert "It is still the stub" in said(capsys)
    assert records.read().get("01.2", records.Record()).tries == 0


@pytest.mark.parametrize("number", ["01.9", "2.1", 1.1, None, [], {}, "", "99.1"])
def test_an_unknown_number_names_those_there_are(number, capsys):
    for call in (
        lambda: utilities.check(number, 2),
        lambda: utilities.hint(number),
        lambda: utilities.solution(number),
    ):
        call()
        assert "one of 01.1, 01.2" in said(capsys)


def test_hints_come_one_at_a_time_and_stay(capsys):
    utilities.hint("01.1")
    assert said(capsys) == "**Hint 1 of 2.** Take a finger."
    for _ in range(2):
        utilities.hint("01.1")
        assert re.fullmatch(r"\*\*Hint 1 of 2.*\n\n\*\*Hint 2 of 2.*\n\nThat was the last one.*", said(capsys))
    assert records.read()["01.1"].hints == 2


def test_the_solution_is_shown_after_a_try_only(capsys):
    for answer in ((), (...,)):
        for value in answer:
            utilities.check("01.1", value)
        capsys.readouterr()
        utilities.solution("01.1")
        assert said(capsys).startswith("Try 01.1 first")
    utilities.check("01.1", 5)
    capsys.readouterr()
    utilities.solution("01.1")
    assert said(capsys) == "One way to solve 01.1:\n\n```python\ntwo = start + 1\n```\n\nCount on."


def test_progress_is_a_table_with_bars_and_what_is_next(capsys):
    utilities.check("01.1", 11)
    utilities.check("01.2", lambda number: 2 * number)
    capsys.readouterr()
    utilities.progress()
    table = """\
| exercises       | solved |        | tried, not solved |
| --------------- | ------ | ------ | ----------------- |
| 01 · small ones | █░     | 1 of 2 | 01.1              |

Next: 01.1 ★ Two"""
    assert said(capsys) == table
    utilities.check("01.1", 2)
    capsys.readouterr()
    utilities.progress()
    assert re.search(r"\| ██ +\| 2 of 2 \| +\|\n\nAll are solved.$", said(capsys))


def test_what_is_next_is_on_a_sheet_that_was_begun(folder, capsys):
    second = SOURCE.replace("01.", "02.").replace("# 01 ·", "# 02 ·")
    (folder / "exercises" / "02_small.py").write_text(second)
    utilities.check("02.1", 2)
    capsys.readouterr()
    utilities.progress()
    assert said(capsys).endswith("Next: 02.2 ★★ Twice")


def test_what_was_solved_stays_solved_and_tries_and_mistakes_are_counted():
    for answer in (11, 2, 11, 7, ...):
        utilities.check("01.1", answer)
    record = records.read()["01.1"]
    assert (record.tries, record.mistakes) == (4, {"written side by side": 2})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record.solved)


def test_an_exercise_keeps_the_time_at_which_it_was_solved_first():
    with records.record("01.1") as record:
        record.solved = "2026-01-02T03:04:05+00:00"
    utilities.check("01.1", 2)
    assert records.read()["01.1"].solved == "2026-01-02T03:04:05+00:00"


def test_a_file_that_is_no_progress_is_left_alone_and_said(folder, capsys):
    path = folder / "work" / "progress.json"
    path.parent.mkdir()
    path.write_text('{"01.1": {"tri')
    for call in (lambda: utilities.check("01.1", 2), lambda: utilities.hint("01.1"), utilities.progress):
        call()
        text = said(capsys)
        assert f"{path} does not hold the progress of a learner" in text
    assert path.read_text() == '{"01.1": {"tri'


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_said(folder, capsys):
    (folder / "work").mkdir(mode=0o500)
    utilities.check("01.1", 2)
    assert "✓" in (text := said(capsys)) and "MOVIELENS_WORK_DIR" in text


def test_a_work_folder_that_is_a_file_is_said_and_the_verdict_shown_all_the_same(folder, capsys):
    (folder / "work").write_text("")
    utilities.check("01.1", 2)
    text = said(capsys)
    assert "01.1 is solved" in text
    assert "Your progress is not kept: cannot write to the folder of your work" in text and "MOVIELENS_WORK_DIR" in text


def _try_often(number):
    for _ in range(20):
        with records.record(number) as record:
            record.tries += 1


def test_two_notebooks_at_once_lose_nothing(folder):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_try_often, args=(number,)) for number in ("01.1", "01.1", "01.2")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert {number: record.tries for number, record in records.read().items()} == {"01.1": 40, "01.2": 20}
    assert [path.name for path in (folder / "work").iterdir() if path.suffix == ".part"] == []


def test_a_class_is_read_from_files(folder):
    for learner, answers in {"ada": (11, 11, 2), "bob": (7,)}.items():
        os.environ["MOVIELENS_WORK_DIR"] = str(folder / learner)
        utilities.hint("01.2")
        for answer in answers:
            utilities.check("01.1", answer)
        (folder / "class").mkdir(exist_ok=True)
        (folder / learner / "progress.json").rename(folder / "class" / f"{learner}.json")
    class_df = utilities.class_progress(folder / "class")
    assert class_df.rows() == [
        ("ada", "01.1", True, 3, 0, ["written side by side"]),
        ("ada", "01.2", False, 0, 1, []),
        ("bob", "01.1", False, 1, 0, []),
        ("bob", "01.2", False, 0, 1, []),
    ]
    assert class_df.schema["mistakes"] == pl.List(pl.String)
    (folder / "class" / "eve.json").write_text("[]")
    with pytest.raises(ValueError, match=r"eve.json does not hold the progress"):
        utilities.class_progress(folder / "class")
    with pytest.raises(FileNotFoundError, match=r"no .json file in .*: copy the learners'"):
        utilities.class_progress(folder / "nowhere")


def test_what_the_teachers_page_runs_works(folder, monkeypatch):
    utilities.check("01.1", 11)
    (folder / "class").mkdir()
    (folder / "work" / "progress.json").rename(folder / "class" / "ada.json")
    page = (REPOSITORY / "exercises" / "TEACHING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    *before, by_exercise, by_mistake = ast.parse(code).body
    namespace = {}
    monkeypatch.chdir(folder)
    exec(compile(ast.Module(before, []), "page", "exec"), namespace)
    by_exercise, by_mistake = (eval(ast.unparse(node), namespace).rows() for node in (by_exercise, by_mistake))
    assert by_exercise == [("01.1", 0, 1.0, 0.0)]
    assert by_mistake == [("01.1", "written side by side", 1)]


def test_a_check_leaves_the_random_numbers_as_they_were():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    utilities.check("01.1", 2)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_check_leaves_gradients_switched_on():
    def without_gradients(number):
        torch.set_grad_enabled(False)
        return 2 * number

    utilities.check("01.2", without_gradients)
    assert torch.is_grad_enabled()


def test_time_is_limited_for_what_holds_every_exception_too_and_the_timer_is_put_back():
    def endless(number):
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    before = signal.getsignal(signal.SIGALRM)
    verdict = judging.judge(sources.all_exercises()["01.2"], endless, limit_s=0.1)
    assert verdict.message.startswith("It was stopped after 0.1 seconds")
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_in_a_thread_it_judges_without_a_limit():
    verdicts = []
    exercise = sources.all_exercises()["01.1"]
    thread = threading.Thread(target=lambda: verdicts.append(judging.judge(exercise, 2)))
    thread.start()
    thread.join()
    assert verdicts[0].state == "solved"


def test_an_interrupted_check_is_no_try():
    def interrupted(number):
        raise KeyboardInterrupt

    verdict = judging.judge(sources.all_exercises()["01.2"], interrupted)
    assert verdict == judging.Verdict("untouched", "The check was interrupted.")


def test_in_a_notebook_it_is_markdown_and_elsewhere_its_text(environment):
    script = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "import utilities\nutilities.check('02.1', ...)\n"
        "shell = InteractiveShell.instance()\n"
        "shell.display_pub.publish = lambda data, **_: print(sorted(data), data['text/plain'] == data['text/markdown'])\n"
        "utilities.check('02.1', ...)\n"
    )
    printed = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    first, *_, last = printed.strip().splitlines()
    assert first.startswith("✗ **02.1 is not solved yet.**")
    assert last == "['text/markdown', 'text/plain'] True"


@pytest.mark.parametrize("value", [[0.5], np.array(0.5), torch.tensor([0.5]), pl.Series([0.5]), 0.5, np.float32(0.5)])
def test_a_number_may_come_as_any_kind(value):
    assert expect.number(value) == 0.5


@pytest.mark.parametrize("value", [None, "0.5", True, float("nan"), [0.5, 0.5], [None], object(), {}, [[1], [1, 2]]])
def test_what_is_no_number_is_said(value):
    with pytest.raises(AssertionError, match="the error "):
        expect.number(value, "the error")


def test_runs_differ_and_one_seed_counted_twice_is_said():
    assert expect.runs([0.1, 0.2, 0.3]).tolist() == [0.1, 0.2, 0.3]
    with pytest.raises(AssertionError, match="Two of your runs in 'a' agree to the last digit"):
        expect.runs([0.1, 0.2, 0.1], "'a'")
    with pytest.raises(AssertionError, match="'a' should hold at least 3 numbers, it holds 2"):
        expect.runs([0.1, 0.2], "'a'")


def test_ranges_overlap_where_they_touch():
    assert expect.overlap([1, 3], [3, 4])
    assert not expect.overlap([1, 2], [3, 4])
    assert expect.overlap([1, 9], [3, 4])


def test_progress_is_text_that_people_can_read(folder):
    utilities.check("01.1", 11)
    stored = json.loads((folder / "work" / "progress.json").read_text())
    assert stored == {"01.1": {"tries": 1, "hints": 0, "solved": None, "mistakes": {"written side by side": 1}}}
