"""Build the site of the course from its executed notebooks: `python site/build.py [folder of the notebooks]`."""

import argparse
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

import finishing  # noqa: E402
import staging  # noqa: E402
from sphinx.cmd.build import build_main  # noqa: E402


def build(notebooks: Path, target: Path) -> None:
    """Build the site from the notebooks of a folder; what was there is replaced when the new one is whole."""
    work = target.with_name(f".{target.name}.part")
    staging.stage(work / "source", [staging.Notebook(path) for path in sorted(notebooks.glob("[0-9]*.ipynb"))])
    shutil.rmtree(work / "html", ignore_errors=True)
    options = ["-W", "--keep-going", "-q", "-j", "auto", "-b", "html", "-c", str(HERE), "-d", str(work / "doctrees")]
    if build_main([*options, str(work / "source"), str(work / "html")]):
        sys.exit("the site was not built: see the warnings above")
    finishing.finish(work / "html")
    shutil.rmtree(target, ignore_errors=True)
    (work / "html").rename(target)
    shutil.rmtree(work)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="?", type=Path, default=ROOT / "notebooks")
    parser.add_argument("--target", type=Path, default=ROOT / "build" / "site")
    arguments = parser.parse_args()
    start = time.monotonic()
    build(arguments.notebooks, arguments.target)
    print(f"{arguments.target / 'index.html'} ({time.monotonic() - start:.0f} s)")
