"""The pages of `make run`: every widget of a notebook moves there, on the numbers that were stored when it was executed."""

import nbformat
import pytest

from conftest import REPOSITORY
from notebooks import execute
from utilities.widgets import base

PATHS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def stored_widgets(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.metadata[base.METADATA] for output in outputs if base.METADATA in output.get("metadata", {})]


WITH_WIDGETS = [path for path in PATHS if stored_widgets(nbformat.read(path, as_version=4))]


@pytest.mark.parametrize("path", WITH_WIDGETS, ids=lambda path: path.stem)
def test_the_widgets_of_a_page_move(path, new_page, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    page_path = tmp_path / f"{path.stem}.html"
    page_path.write_text(execute.as_html(notebook, path.stem), encoding="utf-8")
    page = new_page(page_path)
    for stored in stored_widgets(notebook):
        widget = page.locator(f"#mlw-{stored['name']}")
        text = widget.locator(".mlw-text").inner_text()
        assert text
        field = widget.locator("input[type=range], select").first
        field.focus()
        for key in ("ArrowRight", "ArrowDown"):
            if widget.locator(".mlw-text").inner_text() == text:
                page.keyboard.press(key)
        assert widget.locator(".mlw-text").inner_text() != text


def test_without_javascript_a_page_shows_the_picture(browser, tmp_path):
    path = WITH_WIDGETS[0]
    page_path = tmp_path / "page.html"
    page_path.write_text(execute.as_html(nbformat.read(path, as_version=4), path.stem), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_path.as_uri())
    picture = page.locator("[id^=mlw-] img").first
    assert picture.bounding_box()["width"] > 300
    context.close()
