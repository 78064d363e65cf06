"""Every widget in a real JupyterLab: a picture at first, then alive, at one with the kernel."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from conftest import WIDGETS, jupyterlab


def notebook(name):
    """Five lines over stored numbers, saved as executed, with counts that no execution here gives."""
    data, metadata = WIDGETS[name].example()._repr_mimebundle_()
    data["application/vnd.jupyter.widget-view+json"] = {"model_id": "0" * 32, "version_major": 2, "version_minor": 1}
    shown = new_output("execute_result", data, metadata=metadata, execution_count=102)
    cells = [
        new_code_cell(f"from utilities.widgets import {name}\nimport ipywidgets", execution_count=101),
        new_code_cell(f"widget = {name}.example(); widget", execution_count=102, outputs=[shown]),
        new_code_cell("print(widget.text(widget.state))"),
        new_code_cell("widget"),
        new_code_cell("print('widgets', len(ipywidgets.widgets.widget._instances))"),
    ]
    for i, cell in enumerate(cells):
        cell.id = f"cell-{i}"
    kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernelspec})


@pytest.fixture(scope="module")
def lab(tmp_path_factory, environment, browser):
    """Give a page with JupyterLab, served as `make lab` serves it, on one small notebook for each widget."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    for name in WIDGETS:
        nbformat.write(notebook(name), folder / "notebooks" / f"{name}.ipynb")
    context = browser.new_context(viewport={"width": 1300, "height": 3000})
    with jupyterlab(folder, environment) as (url, token):
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.base, page.token, page.elsewhere, page.errors = url, token, [], []
        own = (url, url.replace("http", "ws"), "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(own) else page.elsewhere.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        yield page
        context.close()


def run(page, number):
    """Execute one cell, and wait for its end; a key that JupyterLab has missed while it was busy is pressed again."""
    cell = page.locator(".jp-Notebook .jp-Cell").nth(number)
    prompt = cell.locator(".jp-InputPrompt").first
    before = prompt.inner_text()
    for _ in range(5):
        cell.locator(".cm-content").focus()
        page.keyboard.press("Control+Enter")
        for _ in range(30):
            if prompt.inner_text() != before and re.search(r"\d", prompt.inner_text()):
                return cell
            page.wait_for_timeout(100)
    raise AssertionError(f"cell {number} was not executed: {prompt.inner_text()}")


@pytest.mark.parametrize("name", WIDGETS)
def test_a_widget_in_jupyterlab(lab, name):
    page = lab
    page.goto(f"{page.base}lab/workspaces/{name}/tree/notebooks/{name}.ipynb?token={page.token}")  # no other tab
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    picture = page.locator(".jp-Cell").nth(1).locator(".jp-OutputArea img")
    picture.wait_for()
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()  # before, keys are lost
    assert picture.evaluate("image => image.naturalWidth") > 300  # opened, not executed: the picture

    for number in (0, 1):
        run(page, number)
    live = page.locator(".jp-Cell").nth(1).locator(".mlw")
    live.wait_for()
    text = live.locator(".mlw-text").inner_text()
    assert text == WIDGETS[name].example().text(WIDGETS[name].example().state)

    run(page, 3)
    second = page.locator(".jp-Cell").nth(3).locator(".mlw")
    second.wait_for()
    field = live.locator("input[type=range], select").first
    for key in ("ArrowRight", "ArrowLeft", "ArrowDown"):
        field.focus()
        page.keyboard.press(key)
        if live.locator(".mlw-text").inner_text() != text:
            break
    assert live.locator(".mlw-text").inner_text() != text
    assert live.locator(".mlw-text").inner_text() == second.locator(".mlw-text").inner_text()
    printed = run(page, 2).locator(".jp-OutputArea").inner_text()
    assert printed.strip() == live.locator(".mlw-text").inner_text()  # the kernel has seen it

    before = run(page, 4).locator(".jp-OutputArea").inner_text()
    for _ in range(2):
        run(page, 1)
    live.wait_for()
    assert run(page, 4).locator(".jp-OutputArea").inner_text() == before
    assert page.locator(".jp-Cell").nth(1).locator(".mlw").count() == 1
    assert page.elsewhere == [] and page.errors == []
