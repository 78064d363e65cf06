import json
import re
import subprocess
import sys
from datetime import date
from urllib.request import Request, urlopen

import nbformat
import pytest

from conftest import REPOSITORY, jupyterlab
from notebooks import lab

ORIGINALS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
NEWS = "@jupyterlab/apputils-extension:notification"


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "notebooks" / "02_inner_product.ipynb"
    path.parent.mkdir()
    path.write_text("as it was")
    return path


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


def names(work):
    return sorted(path.name for path in work.iterdir() if not path.name.startswith("."))


def test_notebooks_are_copied_once_and_what_the_reader_makes_of_them_stays(original, work, capsys):
    lab.copy_to(work, [original])
    copy = work / original.name
    assert copy.read_text() == "as it was"
    copy.write_text("mine")
    lab.copy_to(work, [original])
    assert names(work) == [original.name]
    assert copy.read_text() == "mine"
    assert capsys.readouterr().out == ""


def test_a_newer_original_is_put_beside_the_copy_once_and_a_line_says_so(original, work, capsys):
    lab.copy_to(work, [original])
    (work / original.name).write_text("mine")
    newer = f"02_inner_product.new-{date.today()}.ipynb"
    for text, name in (("newer", newer), ("newest", newer.replace(".ipynb", "-2.ipynb"))):
        original.write_text(text)
        lab.copy_to(work, [original])
        assert (work / name).read_text() == text
        assert re.search(rf"^02_inner_product.ipynb has changed .* {re.escape(name)} ", capsys.readouterr().out)
        lab.copy_to(work, [original])
        assert capsys.readouterr().out == ""
    assert len(names(work)) == 3
    assert (work / original.name).read_text() == "mine"


def test_a_file_of_the_readers_own_with_a_notebooks_name_stays(original, work):
    work.mkdir()
    (work / original.name).write_text("mine")
    lab.copy_to(work, [original])
    assert (work / original.name).read_text() == "mine"
    assert (work / f"02_inner_product.new-{date.today()}.ipynb").read_text() == "as it was"


def test_a_copy_that_was_deleted_comes_back_as_the_original_is(original, work):
    lab.copy_to(work, [original])
    (work / original.name).unlink()
    original.write_text("newer")
    lab.copy_to(work, [original])
    assert names(work) == [original.name]
    assert (work / original.name).read_text() == "newer"


def test_copies_alone_are_made_once_and_it_says_where(tmp_path, environment):
    command = [sys.executable, REPOSITORY / "notebooks" / "lab.py", "--only-copy"]
    environment = environment | {"MOVIELENS_WORK_DIR": str(tmp_path / "work")}
    stub = tmp_path / "work" / "exercises" / "02_inner_product.ipynb"
    for text in (None, "mine"):
        if text:
            stub.write_text(text)
        printed = subprocess.check_output(command, env=environment, text=True)
        assert (
            printed
            == f"Your copies are in {tmp_path / 'work'}: `make lab` opens them, and they are never overwritten.\n"
        )
    assert stub.read_text() == "mine"
    exercises = sorted((REPOSITORY / "exercises").glob("*.ipynb"))
    assert names(stub.parent) == [path.name for path in exercises]


class Server:
    """The real server on a free port, with a token."""

    def __init__(self, url, token):
        self.url, self.token = url, token

    def __call__(self, path, method="GET", content=None, token=None):
        body = None if content is None else json.dumps(content).encode()
        headers = {"Authorization": f"token {token or self.token}"}
        with urlopen(Request(self.url + path, body, headers, method=method), timeout=60) as answer:
            return json.load(answer)


@pytest.fixture(scope="module", params=["work", "originals"])
def server(request, tmp_path_factory, environment):
    folder = tmp_path_factory.mktemp("lab")
    for name in ("notebooks", "exercises"):
        (folder / name).mkdir()
    (folder / "exercises" / ORIGINALS[0].name).write_bytes((REPOSITORY / "exercises" / ORIGINALS[0].name).read_bytes())
    notebook = nbformat.read(ORIGINALS[0], as_version=4)
    notebook.metadata.language_info.version = "3.11.99"
    nbformat.write(notebook, folder / "notebooks" / ORIGINALS[0].name)

    options = ["--originals"] if request.param == "originals" else []
    with jupyterlab(folder, environment, *options) as (url, token):
        server = Server(url, token)
        server.place = folder / {"work": "work", "originals": ""}[request.param]
        yield server


def test_the_server_starts_for_root_too_on_the_loopback_and_wants_its_token(server):
    assert server("api/status")["started"]
    with pytest.raises(OSError, match="403"):
        server("api/contents", token="wrong")


@pytest.mark.parametrize("folder", ["notebooks", "exercises"])
def test_it_shows_notebooks_and_exercises_side_by_side_so_that_links_between_them_hold(server, folder):
    names = {entry["name"] for entry in server(f"api/contents/{folder}")["content"]}
    assert ORIGINALS[0].name in names
    assert (server.place / folder / ORIGINALS[0].name).is_file()


def test_no_news_are_fetched_and_nobody_is_asked_about_them(server):
    setting = server(f"lab/api/settings/{NEWS}")
    assert setting["schema"]["properties"]["fetchNews"]["default"] == "false"
    assert setting["schema"]["properties"]["checkForUpdates"]["default"] is False


def test_a_notebook_comes_as_this_python_would_have_saved_it_and_is_saved_as_it_was(server):
    path, url = server.place / "notebooks" / ORIGINALS[0].name, f"api/contents/notebooks/{ORIGINALS[0].name}"
    before = json.loads(path.read_text(encoding="utf-8"))
    model = server(url)
    metadata = model["content"]["metadata"]
    assert metadata["language_info"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert metadata["kernelspec"]["display_name"] == "Python 3 (ipykernel)"
    model["content"]["cells"][0]["source"] = "changed"
    server(url, "PUT", {key: model[key] for key in ("type", "format", "content")})
    after = json.loads(path.read_text(encoding="utf-8"))
    assert after["metadata"] == before["metadata"]
    assert after["cells"][0]["source"] == ["changed"]
    assert after["cells"][1:] == before["cells"][1:]
