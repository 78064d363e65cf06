"""Build the site of the course from its executed notebooks, those in `notebooks/` unless others are named."""

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


def build(paths: list[Path], target: Path) -> None:
    """Build the site from executed notebooks; what was there is replaced when the new one is whole."""
    work = target.with_name(f".{target.name}.part")
    notebooks = [staging.Notebook(path) for path in sorted(paths, key=lambda path: path.name)]
    staging.stage(work / "source", notebooks)
    shutil.rmtree(work / "html", ignore_errors=True)
    options = ["-q", "-j", "auto", "-b", "html", "-c", str(HERE), "-d", str(work / "doctrees")]
    options += staging.said_of_ratings(notebooks)
    if build_main([*options, str(work / "source"), str(work / "html")]):
        sys.exit("the site was not built: see the warnings above")
    finishing.finish(work / "html")
    shutil.rmtree(target, ignore_errors=True)
    (work / "html").rename(target)
    shutil.rmtree(work)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="all of the course, in one place or another")
    parser.add_argument("--target", type=Path, default=ROOT / "build" / "site")
    arguments = parser.parse_args()
    start = time.monotonic()
    build(arguments.notebooks or list((ROOT / "notebooks").glob("*.ipynb")), arguments.target)
    print(f"The site is built, in {time.monotonic() - start:.0f} s: open {arguments.target / 'index.html'}")
