import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from conftest import REPOSITORY
from notebooks import execute

TEXT = "# Course\n\nBefore.\n\n<!-- results:start -->\nold\n<!-- results:end -->\n\nAfter.\n"


@pytest.fixture
def readme(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(TEXT)
    path.chmod(0o644)
    return path


def test_results_replace_what_stands_between_the_markers_and_nothing_else(readme):
    for results in ("| a |\n|---|\n| 0.5 |\n\n", "\nnew"):
        execute.replace_results(readme, results)
        assert readme.read_text() == TEXT.replace("old", results.strip())
    assert [path.name for path in readme.parent.iterdir()] == ["README.md"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o644, 0o664, 0o600])
def test_a_rewritten_file_keeps_its_permissions(readme, mode):
    readme.chmod(mode)
    execute.write(readme, "new")
    assert readme.stat().st_mode & 0o777 == mode


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "any").write_text("")
    execute.write(tmp_path / "new", "text")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_a_file_is_replaced_whole_so_that_a_reader_never_sees_half_of_it(readme, tmp_path):
    (tmp_path / "old").hardlink_to(readme)
    execute.replace_results(readme, "new")
    assert (tmp_path / "old").read_text() == TEXT


@pytest.mark.parametrize("marker", ["<!-- results:start -->", "<!-- results:end -->"])
def test_a_file_without_both_markers_is_refused_and_left_as_it_is(readme, marker):
    readme.write_text(TEXT.replace(marker, ""))
    with pytest.raises(SystemExit, match="has no line <!-- results:start -->"):
        execute.replace_results(readme, "new")
    assert readme.read_text() == TEXT.replace(marker, "")


def test_the_readme_has_a_place_for_the_results(tmp_path):
    copy = tmp_path / "README.md"
    copy.write_bytes((REPOSITORY / "README.md").read_bytes())
    execute.replace_results(copy, "| new |")
    assert "<!-- results:start -->\n| new |\n<!-- results:end -->" in copy.read_text()


def test_a_failing_cell_is_named_though_later_cells_were_executed_before(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "BUILD", tmp_path / "build")
    cells = [new_code_cell(source, execution_count=number) for number, source in enumerate(("1", "1 / 0", "2"), 1)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "01_fails.ipynb")
    with pytest.raises(SystemExit, match=r"01_fails.ipynb failed in cell 1 .*\n[\s\S]*ZeroDivisionError"):
        execute.execute(tmp_path / "01_fails.ipynb")


EXERCISES = """# %% [markdown]
# # 01 · Exercises: one
# %% setup
from utilities import check
# %% checks
# %% exercise [markdown]
# ## 01.1 ★ Two
#
# How much is one and one?
# %% stub
two = ...
# %% solution
two = 2
# %% why [markdown]
# Count.
# %% other
two = 1 + 1
# %% check
def mistake_in(two):
    assert two == 2
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Give a course of two small notebooks in a folder of its own, with a README and a build folder."""
    course = tmp_path / "course"
    course.mkdir()
    for name in ("FOLDER", "BUILD"):
        monkeypatch.setattr(execute, name, course / {"FOLDER": "", "BUILD": "build"}[name])
    monkeypatch.setattr(execute, "README", course / "README.md")
    (course / "README.md").write_text(TEXT)
    for name in ("export_models.py", "export_exercises.py"):
        shutil.copy(REPOSITORY / "notebooks" / name, course)
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / "01_one.py").write_text(EXERCISES)
    (tmp_path / "utilities").mkdir()
    (tmp_path / "benchmarks" / "experiments").mkdir(parents=True)
    (tmp_path / "benchmarks" / "experiments" / "long.py").write_text("open(__file__ + '.ran', 'w').close()")
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    metadata["language_info"] = {"name": "python", "version": "3.10.0"}
    prose = [
        new_markdown_cell(text)
        for text in (
            "# One",
            "Half: $\\frac{1}{2}$. Next: [two](02_two.ipynb#Recap).\n\n## Exercises\n\nold\n\n## Next",
        )
    ]
    exported = new_code_cell("class Model:\n    pass", metadata={"tags": ["export"]})
    one = [*prose, exported, new_code_cell("import os\nprint(1 + 1, os.environ.get('MOVIELENS_ACCELERATOR'))")]
    two = [
        new_code_cell(
            "import utilities\npath = utilities.data_folder('results') / 'results.md'\n"
            "_ = path.write_text('| neural cf | 0.734 |\\n')"
        )
    ]
    for name, cells in (("01_one", one), ("02_two", two)):
        nbformat.write(new_notebook(cells=cells, metadata=metadata), course / f"{name}.ipynb")
    return course


def files(course):
    return {path.name: path.read_bytes() for path in course.iterdir() if path.is_file()}


def test_a_run_leaves_the_course_as_it_was_and_puts_the_results_into_build(course, capsys):
    before = files(course)
    execute.run(execute.chosen([]))
    assert files(course) == before
    results = (course / "build" / "results.md").read_text()
    assert "| neural cf | 0.734 |" in results
    assert results in capsys.readouterr().out
    assert nbformat.read(course / "build" / "01_one.ipynb", as_version=4).cells[-1].outputs[0].text.startswith("2 ")


def test_results_of_an_earlier_run_are_not_those_of_this_one(course):
    execute.run(execute.chosen([]))
    os.utime(execute.utilities.data_folder("results") / "results.md", (0, 0))
    execute.run(execute.chosen(["01"]))
    assert "neural cf" not in (course / "build" / "results.md").read_text()


def test_a_refresh_rewrites_outputs_and_results_but_no_metadata_whatever_the_environment(course, monkeypatch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        os.environ["MOVIELENS_ACCELERATOR"] = "gpu"
        metadata = nbformat.read(course / "01_one.ipynb", as_version=4).metadata
        execute.refresh(execute.chosen([]))
    refreshed = nbformat.read(course / "01_one.ipynb", as_version=4)
    assert refreshed.cells[-1].outputs[0].text == "2 cpu\n"
    assert refreshed.metadata == metadata
    assert (course.parent / "benchmarks" / "experiments" / "long.py.ran").exists()
    assert "class Model:\n    pass" in (course.parent / "utilities" / "models.py").read_text()
    assert (course / "README.md").read_text() == TEXT.replace("old", "| neural cf | 0.734 |")
    assert "old" not in refreshed.cells[1].source
    assert "- **01.1 ★ Two.** How much is one and one?\n\n## Next" in refreshed.cells[1].source
    stub, solved = (
        nbformat.read(course.parent / name, as_version=4)
        for name in ("exercises/01_one.ipynb", "exercises/solved/01_one.ipynb")
    )
    assert [cell.source for cell in stub.cells if cell.cell_type == "code"][1] == "two = ..."
    assert stub.metadata == solved.metadata == metadata
    assert not any(cell.get("execution_count") for cell in stub.cells)
    assert [cell.execution_count for cell in solved.cells if cell.cell_type == "code"] == [1, 2, 3]


@pytest.mark.parametrize("command", [["notebooks/execute.py"], ["-m", "notebooks.execute"]])
def test_an_unknown_part_names_the_notebooks_there_are(command, environment):
    result = subprocess.run(
        [sys.executable, *command, "run", "99"], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert result.returncode != 0
    assert "no notebook has '99' in its name; there are: 01_data_exploration, " in result.stderr
    assert "Traceback" not in result.stderr


def test_parts_of_names_choose_in_the_order_of_the_course(course):
    assert [path.stem for path in execute.chosen(["two", "01"])] == ["01_one", "02_two"]
    assert [path.stem for path in execute.chosen(["02"])] == ["02_two"]
