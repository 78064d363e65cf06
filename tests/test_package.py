import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from shutil import copytree

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import utilities
from conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"] | {"": PROJECT["dependencies"]}
WHO_IMPORTS_FROM = {  # later lines win
    "utilities/**/*.py": ["", "notebooks"],
    "notebooks/*": ["", "notebooks"],
    "exercises/**/*": ["", "notebooks"],
    "benchmarks/*.py": ["", "notebooks"],
    "benchmarks/bench_peers.py": ["", "peer-surprise", "peer-myfm", "peer-lenskit"],
    "site/*.py": ["", "notebooks", "site"],
    "tests/**/*.py": ["", "notebooks", "site", "test"],
    "conftest.py": ["test"],
}
NOT_INSTALLED = {"surprise": "scikit-surprise"}  # imports whose distribution has another name
HEAVY = {"torch", "pytorch_lightning", "mlflow", "polars", "pandas", "sklearn", "matplotlib", "seaborn"}


def setuptools_builds_this():
    try:
        return int(version("setuptools").split(".")[0]) >= 77
    except PackageNotFoundError:
        return False


def test_importing_the_package_and_reading_the_settings_imports_nothing_heavy(environment):
    script = (
        "import sys, utilities; utilities.settings(); print(sorted(name for name in sys.modules if '.' not in name))"
    )
    imported = set(
        ast.literal_eval(subprocess.check_output([sys.executable, "-c", script], env=environment, text=True))
    )
    assert "utilities" in imported
    assert not imported & HEAVY


def test_loading_ratings_imports_no_torch(environment):
    script = "import sys, utilities; utilities.load_torch_data(); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], env=environment, text=True) == "False\n"


def test_every_public_name_resolves_and_is_listed():
    assert len(utilities.__all__) == len(set(utilities.__all__)) >= 20
    for name in utilities.__all__:
        assert getattr(utilities, name).__name__.removeprefix("utilities.") == name
        assert getattr(utilities, name).__doc__
    assert dir(utilities) == sorted(utilities.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="No utilities attribute load_rating"):
        _ = utilities.load_rating


@pytest.mark.skipif(not setuptools_builds_this(), reason="no setuptools that can build this package")
def test_a_wheel_brings_the_sample_and_the_widgets_along(tmp_path, environment):
    source = tmp_path / "source"
    copytree(REPOSITORY / "utilities", source / "utilities")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((REPOSITORY / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, source], check=True, capture_output=True, env=environment)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for file in sorted((REPOSITORY / "utilities" / "sample").iterdir()):
            packed = archive.read(f"utilities/sample/{file.name}")
            assert hashlib.sha256(packed).digest() == hashlib.sha256(file.read_bytes()).digest()
        scripts = {
            path.name for path in (REPOSITORY / "utilities" / "widgets").iterdir() if path.suffix in {".js", ".css"}
        }
        assert {f"utilities/widgets/{name}" for name in scripts} <= set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    script = "import utilities; print(utilities.__file__, utilities.load_ratings().height)"
    printed = subprocess.check_output(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(tmp_path / "installed")},
        text=True,
    )
    assert printed == f"{tmp_path / 'installed' / 'utilities' / '__init__.py'} 100004\n"


LOCAL = (REPOSITORY / "tests", REPOSITORY / "notebooks", REPOSITORY / "site")


def declared(extras):
    return {canonicalize_name(Requirement(line).name) for extra in extras for line in EXTRAS[extra]}


def imported(path, distributions):
    """Name what a Python file or a notebook's code cells import, each with the distributions that bring it."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        text = re.sub(r"^\s*[%!].*$", "", "\n".join("".join(cell["source"]) for cell in cells), flags=re.MULTILINE)
    nodes = list(ast.walk(ast.parse(text)))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"utilities", "notebooks"}
    tops -= {other.stem for folder in (path.parent, *LOCAL) for other in folder.glob("*.py")}
    tops -= set(re.findall(r'"(\w+)\.py"\)\.write_text', text))  # which a notebook has written itself
    return {
        name: set(map(canonicalize_name, distributions.get(name, [NOT_INSTALLED.get(name, name)]))) for name in tops
    }


def test_everything_that_is_imported_is_declared_where_it_is_needed():
    extras_of = {path: extras for pattern, extras in WHO_IMPORTS_FROM.items() for path in REPOSITORY.glob(pattern)}
    files = {path: extras for path, extras in extras_of.items() if path.suffix in {".py", ".ipynb"}}
    assert len(files) > 40
    distributions = packages_distributions()
    assert [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path, extras in files.items()
        for name, bringing in imported(path, distributions).items()
        if not bringing & declared(extras)
    ] == []


def test_every_declared_package_is_pinned_but_for_the_peers():
    pins = re.findall(r"^([\w.-]+)==", (REPOSITORY / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared(["", "notebooks", "site", "test"]) - {canonicalize_name(name) for name in pins} == set()


def test_the_pins_name_no_place_to_install_from():
    text = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert re.search(r"://|^-|/", text, re.MULTILINE) is None


@pytest.mark.parametrize("python", ["3.11.0", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("system", ["x86_64-manylinux_2_28", "aarch64-apple-darwin", "x86_64-pc-windows-msvc"])
def test_the_pins_resolve_to_wheels(python, system):
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    if uv is None:
        pytest.skip("uv is not installed beside this Python: install the extra 'test'")
    command = [uv, "pip", "compile", "--python-version", python, "--python-platform", system, "--only-binary", ":all:"]
    command += ["--no-python-downloads", "--constraint", "constraints.txt", "pyproject.toml"]
    command += [part for extra in ("notebooks", "site", "test") for part in ("--extra", extra)]
    environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
    result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    if result.returncode != 0 and re.search("Failed to fetch|error sending request|dns error", result.stderr):
        pytest.skip("no package registry answers")
    assert result.returncode == 0, result.stderr
    pins = set(re.findall(r"^[\w.-]+==[^\s;]+", (REPOSITORY / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    resolved = set(re.findall(r"^[\w.-]+==[^\s;]+", result.stdout, re.MULTILINE))
    assert {pin for pin in resolved - pins if not pin.startswith("setuptools==")} == set()
    assert f"torch=={version('torch').partition('+')[0]}" in resolved


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_make_help_lists_every_target_with_its_purpose():
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE).group(1).split()
    lines = subprocess.check_output(["make", "--no-print-directory", "help"], cwd=REPOSITORY, text=True).splitlines()
    assert [line.split()[0] for line in lines] == re.findall(r"^([\w-]+):.*## ", text, re.MULTILINE)
    assert {line.split()[0] for line in lines} == set(targets)
    assert all(len(line.split()) > 2 for line in lines)
