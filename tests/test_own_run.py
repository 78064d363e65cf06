"""The whole series on files of one's own, to the ledger and the site: `python -m pytest -m own_run`, some minutes each."""

import os
import re
import shutil
import subprocess
import sys

import invented
import pytest

from conftest import REPOSITORY


@pytest.mark.own_run
@pytest.mark.parametrize("make", [invented.anime_list, invented.joke_scores])
def test_the_series_runs_to_its_ledger_and_its_site(make, tmp_path):
    course = tmp_path / "course"
    for name in subprocess.check_output(["git", "ls-files"], cwd=REPOSITORY, text=True).splitlines():
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, course / name)
    own = make(tmp_path)
    places = {"MOVIELENS_DATA_DIR": "data", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "PYTHONPATH": str(course)}
    command = [sys.executable, "notebooks/execute.py", "run"]  # what `make run` does once it is set up
    run = subprocess.run(command, cwd=course, env=os.environ | own | places, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    results = (course / "build" / "results.md").read_text(encoding="utf-8")
    held, tried, untried = map(int, re.search(r"(\d+) of (\d+) hold on this data\. (\d+) more \(○\)", results).groups())
    n_claims = int(re.search(r"(\d+) claims, all of which hold", (REPOSITORY / "README.md").read_text("utf-8"))[1])
    assert tried + untried == n_claims
    assert 0 < held < tried
    if make is invented.anime_list:
        readme = (REPOSITORY / "README.md").read_text("utf-8")
        example = readme.partition("<!-- example ledger: start -->")[2].partition("<!-- example ledger: end -->")[0]
        assert [line for line in re.findall("^- .*", example, re.M) if line not in results] == []
    file = own["MOVIELENS_DATASET"].rpartition("/")[2]
    ledger = (course / "build" / "site" / "ledger.html").read_text(encoding="utf-8")
    assert f"({file})" in ledger
    assert f"{held} of {tried} hold on" in ledger
    assert f"{untried} more (○)" in ledger
    made = [path for path in (course / "build").rglob("*") if path.suffix in (".md", ".ipynb", ".html", ".js")]
    assert [path for path in made if str(tmp_path) in path.read_text(encoding="utf-8")] == []
