import ast
import hashlib
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from shutil import copytree

import pytest

import utilities
from conftest import REPOSITORY

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
        assert getattr(utilities, name).__name__ == name
        assert getattr(utilities, name).__doc__
    assert dir(utilities) == sorted(utilities.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'utilities' has no attribute 'load_rating'"):
        _ = utilities.load_rating


@pytest.mark.skipif(not setuptools_builds_this(), reason="no setuptools that can build this package")
def test_a_wheel_brings_the_sample_along(tmp_path, environment):
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
        archive.extractall(tmp_path / "installed")
    script = "import utilities; print(utilities.__file__, utilities.load_ratings().height)"
    printed = subprocess.check_output(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(tmp_path / "installed")},
        text=True,
    )
    assert printed == f"{tmp_path / 'installed' / 'utilities' / '__init__.py'} 100004\n"
