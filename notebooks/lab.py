"""Open JupyterLab on this machine only: on copies of notebooks and exercises of your own in `work/`, or on the originals."""

import argparse
import filecmp
import os
import shutil
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelspec import KERNEL_NAME, get_kernel_dict
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyterlab.labapp import LabApp
from traitlets.config import Config

from utilities.settings import work_folder

REPOSITORY = Path(__file__).resolve().parents[1]
COPIED = (
    "notebooks",
    "exercises",
)  # side by side here and in work/, so that links between them hold
METADATA = {  # as JupyterLab writes it, once the kernel has said what it is
    "kernelspec": {
        "display_name": get_kernel_dict()["display_name"],
        "language": "python",
        "name": KERNEL_NAME,
    },
    "language_info": IPythonKernel.language_info
    | {"nbconvert_exporter": "python", "file_extension": ".py"},
}


class NotebooksOfAnyPython(AsyncLargeFileManager):
    """Shows notebooks with the metadata of the Python at hand and saves them with those of the file.

    JupyterLab takes a notebook that another Python has saved for changed as soon as it is opened.
    """

    async def get(self, path, content=True, **options):
        """Read a file; a notebook comes with this Python's metadata."""
        model = await super().get(path, content, **options)
        if content and model["type"] == "notebook":
            metadata = model["content"]["metadata"]
            if metadata.get("kernelspec", METADATA["kernelspec"])["name"] == KERNEL_NAME:
                metadata |= METADATA
        return model

    async def save(self, model, path=""):
        """Write a file; a notebook keeps the metadata it had."""
        if model.get("type") == "notebook" and self.exists(path):
            metadata = model["content"]["metadata"]
            stored = (await super().get(path))["content"]["metadata"]
            metadata |= {
                n: stored[n] for n in METADATA if metadata.get(n) == METADATA[n] and n in stored
            }
        return await super().save(model, path)


def main() -> None:
    """Read the command line and start the server; what this program does not know is for JupyterLab."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--originals", action="store_true", help="open the originals instead of copies"
    )
    parser.add_argument(
        "--only-copy", action="store_true", help="make the copies, say where they are, and stop"
    )
    arguments, options = parser.parse_known_args()
    root = REPOSITORY if arguments.originals else work_folder()
    if not arguments.originals:
        for name in COPIED:
            copy_to(root / name, sorted((REPOSITORY / name).glob("*.ipynb")))
    if arguments.only_copy:
        print(f"Your copies are in {root}: `make lab` opens them, and they are never overwritten.")
        return
    paths = [str(REPOSITORY / "notebooks" / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, paths))  # no news, no question
    config = Config()
    config.ServerApp.contents_manager_class = NotebooksOfAnyPython
    options += [
        "--ServerApp.allow_root=True",  # which containers run as; the server is on the loopback, with a token
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={root}",
        f"--ServerApp.preferred_dir={root / 'notebooks'}",
    ]
    LabApp.initialize_server(options, config=config).start()


def copy_to(work: Path, originals: Iterable[Path]) -> None:
    """Copy notebooks that are not there yet; never overwrite one.

    `.originals` in `work` holds each original as it was when last copied. One that has changed since is put beside the
    reader's copy, under a name with the day, and a line says so.
    """
    known = work / ".originals"
    known.mkdir(parents=True, exist_ok=True)
    for original in originals:
        copy, seen = work / original.name, known / original.name
        if not copy.exists():
            shutil.copyfile(original, copy)
        elif not seen.exists() or not filecmp.cmp(original, seen, shallow=False):
            newer = unused(copy.with_name(f"{copy.stem}.new-{date.today()}{copy.suffix}"))
            shutil.copyfile(original, newer)
            print(
                f"{copy.name} has changed in the course: your copy stays, the new one is {newer.name} beside it"
            )
        shutil.copyfile(original, seen)


def unused(path: Path) -> Path:
    """Give a path at which nothing is: the one given, or one with a number."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


if __name__ == "__main__":
    main()
