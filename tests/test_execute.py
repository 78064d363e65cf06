import importlib.util

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from conftest import REPOSITORY

TEXT = "# Course\n\nBefore.\n\n<!-- results:start -->\nold\n<!-- results:end -->\n\nAfter.\n"


@pytest.fixture(scope="module")
def execute():
    spec = importlib.util.spec_from_file_location("execute", REPOSITORY / "notebooks" / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def readme(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(TEXT)
    path.chmod(0o644)
    return path


def test_results_replace_what_stands_between_the_markers_and_nothing_else(execute, readme):
    for results in ("| a |\n|---|\n| 0.5 |\n\n", "\nnew"):
        execute.replace_results(readme, results)
        assert readme.read_text() == TEXT.replace("old", results.strip())
    assert readme.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in readme.parent.iterdir()] == ["README.md"]


@pytest.mark.parametrize("marker", ["<!-- results:start -->", "<!-- results:end -->"])
def test_a_file_without_both_markers_is_refused_and_left_as_it_is(execute, readme, marker):
    readme.write_text(TEXT.replace(marker, ""))
    with pytest.raises(SystemExit, match="has no line <!-- results:start -->"):
        execute.replace_results(readme, "new")
    assert readme.read_text() == TEXT.replace(marker, "")


def test_the_readme_has_a_place_for_the_results(execute, tmp_path):
    copy = tmp_path / "README.md"
    copy.write_bytes((REPOSITORY / "README.md").read_bytes())
    execute.replace_results(copy, "| new |")
    assert "<!-- results:start -->\n| new |\n<!-- results:end -->" in copy.read_text()


def test_a_failing_cell_is_named_though_later_cells_were_executed_before(execute, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "BUILD", tmp_path / "build")
    cells = [new_code_cell(source, execution_count=number) for number, source in enumerate(("1", "1 / 0", "2"), 1)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "01_fails.ipynb")
    with pytest.raises(SystemExit, match=r"01_fails.ipynb failed in cell 1 .*\n[\s\S]*ZeroDivisionError"):
        execute.execute(tmp_path / "01_fails.ipynb")
