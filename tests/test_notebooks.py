import base64
import copy
import json
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbval.plugin import get_sanitize_patterns

from conftest import REPOSITORY, WIDGETS
from notebooks import lab
from utilities.widgets import base

PATHS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
NOT_COMPARED = {"nbval-ignore-output", "nbval-skip"}
MACHINE_PATH = re.compile(r"(?<![\w.])/(root|home|work|tmp|Users)\b[/\w.-]*")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def headings(notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.findall(r"^## (.+)$", prose, re.MULTILINE)


def test_notebooks_are_numbered_from_01_without_gaps():
    assert [path.name[:3] for path in PATHS] == [f"{number:02d}_" for number in range(1, len(PATHS) + 1)]
    assert len(PATHS) >= 2


def test_it_opens_with_its_number_its_title_and_its_question(notebook, path):
    title, *rest = notebook.cells[0].source.splitlines()
    assert re.fullmatch(rf"# {path.name[:2]} · \S.*", title)
    questions = [line for line in rest if line.startswith("**Question.** ")]
    assert len(questions) == 1
    assert questions[0].endswith("?")


def test_it_ends_with_recap_exercises_and_the_next_notebook(notebook):
    assert headings(notebook)[-3:] == ["Recap", "Exercises", "Next"]


def test_its_cells_were_executed_once_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_it_shows_neither_errors_nor_warnings(notebook):
    assert not [
        output for output in outputs(notebook) if output.output_type == "error" or output.get("name") == "stderr"
    ]


def test_its_metadata_are_those_that_jupyterlab_leaves_alone(notebook):
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec == lab.METADATA["kernelspec"]
    version = notebook.metadata.language_info.version
    assert notebook.metadata.language_info == lab.METADATA["language_info"] | {"version": version}


def test_it_names_no_path_of_the_machine_it_ran_on(notebook):
    texts = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        data = output.get("data", {})
        texts += [output.get("text", ""), *(str(data[kind]) for kind in data if not kind.startswith("image/"))]
    assert [found.group() for text in texts for found in MACHINE_PATH.finditer(text)] == []


def test_its_figures_are_png_below_100_kb(notebook):
    images = [(kind, data) for o in outputs(notebook) for kind, data in o.get("data", {}).items() if "image/" in kind]
    assert {kind for kind, _ in images} <= {"image/png"}
    assert all(len(base64.b64decode(data)) < 100_000 for _, data in images)


def test_its_code_cells_have_25_lines_at_most(notebook):
    assert [cell.source for cell in code_cells(notebook) if len(cell.source.splitlines()) > 25] == []


def test_it_has_outputs_and_at_least_70_percent_of_them_are_compared(notebook):
    with_output = [cell for cell in code_cells(notebook) if cell.outputs]
    compared = [cell for cell in with_output if not NOT_COMPARED & set(cell.metadata.get("tags", []))]
    assert len(compared) > 0
    assert len(compared) >= 0.7 * len(with_output)


def claims(notebook):
    lines = "\n".join(output.get("text", "") for output in outputs(notebook)).splitlines()
    return [line[2:] for line in lines if line.startswith(("✓ ", "✗ "))]


def test_what_it_says_are_at_most_a_dozen_claims_in_compared_outputs(notebook):
    assert 5 <= len(claims(notebook)) <= 12
    compared = [cell for cell in code_cells(notebook) if not NOT_COMPARED & set(cell.metadata.get("tags", []))]
    for cell in code_cells(notebook):
        assert cell in compared or "claim(" not in cell.source
        assert "built_in" not in cell.source


def test_it_asks_before_it_shows_and_folds_the_answers(notebook):
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    n_questions = prose.count("**Predict before you run.**")
    assert n_questions >= 4
    assert prose.count("<summary>Answer") >= n_questions - prose.count("Three habits run through the course")


def test_its_figures_have_a_text_for_those_who_do_not_see_them(notebook):
    with_figure = [c for c in code_cells(notebook) if any("image/png" in o.get("data", {}) for o in c.outputs)]
    assert [cell.source for cell in with_figure if len(cell.metadata.get("alt", "")) < 40] == []


def test_it_has_75_cells_at_most(notebook):
    assert len(notebook.cells) <= 75


def widget_cells(notebook):
    return [
        (i, output.metadata[base.METADATA], output)
        for i, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", [])
        if base.METADATA in output.get("metadata", {})
    ]


def test_every_widget_stands_in_one_notebook():
    shown = [stored["name"] for path in PATHS for _, stored, _ in widget_cells(nbformat.read(path, as_version=4))]
    assert sorted(shown) == sorted(widget.name for widget in WIDGETS.values())


def test_a_widget_has_a_question_before_it_a_picture_in_it_and_its_value_read_back_behind_it(notebook):
    for i, stored, output in widget_cells(notebook):
        question, shown, reading = notebook.cells[i - 1 : i + 2]
        assert question.source.count("**Play.**") == 1 and "?" in question.source.partition("**Play.**")[2]
        assert set(output.data) == {"image/png", "text/plain"}
        name = shown.source.splitlines()[-1]
        assert f"{name}.value" in reading.source
        assert re.search(r"\d", output.data["text/plain"])
        assert len(json.dumps(stored)) < 120_000


def test_the_readme_counts_the_claims():
    counted = re.search(r"(\d+) claims, all of which hold", (REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert int(counted[1]) == sum(len(claims(nbformat.read(path, as_version=4))) for path in PATHS)


def beginning_with_a_number(notebook):
    """Cut a notebook behind its first cell that prints a number."""
    for position, cell in enumerate(notebook.cells):
        if any(re.search(r"\d", output.get("text", "")) for output in cell.get("outputs", [])):
            notebook.cells = notebook.cells[: position + 1]
            return notebook
    raise AssertionError("no cell prints a number")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory, environment):
    """Run the check as it is configured on two notebooks: the results of their cells, by name."""
    folder = tmp_path_factory.mktemp("check")
    (folder / "tests").mkdir()
    for name in ("pyproject.toml", "conftest.py", "tests/nbval_sanitize.cfg"):
        shutil.copy(REPOSITORY / name, folder / name)

    changed = beginning_with_a_number(nbformat.read(PATHS[0], as_version=4))
    changed.cells.append(copy.deepcopy(changed.cells[-1]))
    changed.cells[-1].id = "changed"
    (output,) = changed.cells[-1].outputs
    output.text = re.sub(r"\d", lambda digit: str((int(digit.group()) + 1) % 10), output.text, count=1)
    wrong_claim = new_notebook(
        cells=[
            new_code_cell("print(1 + 1)", execution_count=1, outputs=[new_output("stream", name="stdout", text="2\n")]),
            new_code_cell("assert 1 + 1 == 3", execution_count=2),
            new_code_cell("three = 3", execution_count=3),
        ]
    )
    for name, notebook in (("changed", changed), ("wrong_claim", wrong_claim)):
        nbformat.write(notebook, folder / f"{name}.ipynb")
    calls = {"warnings.warn('old', DeprecationWarning)": "ours", "their.call()": "theirs"}
    (folder / "their.py").write_text("import warnings\n\ndef call():\n    warnings.warn('old', DeprecationWarning)\n")
    (folder / "test_deprecations.py").write_text(
        "import their\nimport warnings\n\n"
        + "".join(f"def test_{name}():\n    {call}\n\n" for call, name in calls.items())
    )

    pytest_command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junit-xml=results.xml", "."]
    process = subprocess.run(pytest_command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180)
    assert process.returncode == 1, process.stdout
    results = {"changed": [], "wrong_claim": [], "test_deprecations": []}
    for case in ElementTree.parse(folder / "results.xml").iter("testcase"):
        (name,) = (name for name in results if name in case.get("classname"))
        results[name].append(next((child.tag for child in case if child.tag != "system-out"), "passed"))
    return results


def test_the_check_passes_a_cell_as_it_is_and_fails_its_copy_with_one_number_changed(verdicts):
    *as_is, changed = verdicts["changed"]
    assert set(as_is) == {"passed"}
    assert changed == "failure"


def test_the_check_fails_at_a_claim_that_does_not_hold_and_skips_what_follows(verdicts):
    assert verdicts["wrong_claim"] == ["passed", "failure", "skipped"]


def test_the_check_fails_at_a_deprecated_call_of_our_own_and_not_at_one_of_others(verdicts):
    assert verdicts["test_deprecations"] == ["failure", "passed"]


def test_every_sanitizing_pattern_is_one_that_nbval_reads():
    text = (REPOSITORY / "tests" / "nbval_sanitize.cfg").read_text(encoding="utf-8")
    patterns = dict(get_sanitize_patterns(text))
    assert len(patterns) == text.count("\n[")
    bar = "Model: 100%|████████| 93/93 steps [00:00, epoch=3, val_loss=0.961]\nafter\n"
    for regex, replacement in patterns.items():
        bar = re.sub(regex, replacement, bar)
    assert bar == "(a progress bar)after\n"


def test_a_progress_bar_cut_off_at_the_edge_is_sanitized_too():
    patterns = dict(get_sanitize_patterns((REPOSITORY / "tests" / "nbval_sanitize.cfg").read_text(encoding="utf-8")))
    bar = "LongName:  30%|▎| 372/1240 steps [00:03, epoch=12, val_loss=0.717, train_loss=0.643\n"
    for regex, replacement in patterns.items():
        bar = re.sub(regex, replacement, bar)
    assert bar == "(a progress bar)"
