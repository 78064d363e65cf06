"""What the unit tests share: a tracking store of their own, and ratings small enough to count by hand."""

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from utilities import widgets
from utilities.widgets.base import on_a_page

REPOSITORY = Path(__file__).resolve().parents[1]
WIDGETS = {name: kind for name, kind in vars(widgets).items() if isinstance(kind, type)}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OUTSIDE = """() => {
  const box = document.querySelector("svg.mlw-picture").getBoundingClientRect();
  const isOutside = (own) => own.left < box.left - 1 || own.right > box.right + 1 || own.bottom > box.bottom + 1;
  const texts = [...document.querySelectorAll("svg.mlw-picture text")];
  return texts.filter((text) => isOutside(text.getBoundingClientRect())).map((text) => text.textContent);
}"""


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Give the URI of the unit tests' MLflow store: one for all, because to make one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="module", autouse=True)
def own_settings(store, tmp_path_factory):
    """Keep the unit tests' runs and files away from those of the notebooks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        patch.setenv("MOVIELENS_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        patch.setenv("MOVIELENS_WORK_DIR", str(tmp_path_factory.mktemp("work")))
        yield


@pytest.fixture(scope="module")
def environment(own_settings):
    """Give the environment of a fresh Python that imports this package and the tests' models."""
    path = [str(REPOSITORY), str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


@contextmanager
def jupyterlab(folder, environment, *options):
    """Serve a course of its own in a folder as `make lab` does: give the address, which ends in /, and the token."""
    for part in ("lab.py", "jupyter/labconfig/default_setting_overrides.json"):
        (folder / "notebooks" / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / "notebooks" / part).write_bytes((REPOSITORY / "notebooks" / part).read_bytes())
    token, log = secrets.token_hex(), folder / "log"
    own = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
    own["MOVIELENS_WORK_DIR"] = str(folder / "work")
    command = [sys.executable, "notebooks/lab.py", "--no-browser", "--ServerApp.port=0", *options]
    command.append(f"--IdentityProvider.token={token}")
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment | own, stdout=file, stderr=file)
    try:
        for _ in range(600):
            if found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text()):
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield found.group(), token
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def ratings_df():
    """Give four valid ratings, out of order: user 1 rates movies 30 and 10, user 2 movies 10 and 20."""
    return pl.DataFrame(
        {
            "userId": [2, 1, 2, 1],
            "movieId": [20, 30, 10, 10],
            "rating": [0.5, 5.0, 3.0, 4.5],
            "timestamp": [400, 300, 200, 300],
        }
    )


def as_page(widget):
    """Give a page that shows a widget without a kernel."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{widget.name}</title>"
    body = f"<main><h1>{widget.name}</h1>{on_a_page(widget.stored())}</main>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'


def state(page):
    """Give the state of the widget on a page."""
    return page.evaluate("document.querySelector('main > [id^=mlw-]').model.get('state')")


def said(page):
    """Give the text of the widget on a page."""
    return page.locator(".mlw-text").inner_text()


def executable():
    """Find the browser of the machine: `MOVIELENS_BROWSER`, or one of the usual names."""
    return os.environ.get("MOVIELENS_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Build the site from the notebooks as they are committed, once, without a warning: give its folder."""
    pytest.importorskip("sphinx", reason="the site's packages are not installed: the extra `site`")
    folder = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, REPOSITORY / "site" / "build.py", "--target", folder]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0 and not built.stderr, built.stderr
    return folder


@pytest.fixture(scope="session")
def browser():
    """Start Chromium once; without one skip, and in CI fail."""
    path = executable()
    if path is None:
        missing = "no Chromium on this machine: install one (on Debian: apt-get install chromium)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser):
    """Give a function that opens a file in a page, which must raise no error and ask nothing of anyone else."""
    contexts, wrong = [], []

    def open_page(path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("request", lambda request: wrong.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
