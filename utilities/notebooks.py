"""Classes that a notebook teaches, for the notebooks and tests that come after it."""

import ast
from types import SimpleNamespace

import nbformat

from utilities.settings import ROOT


def import_classes(name: str) -> SimpleNamespace:
    """Define the classes of a notebook of the series without running the rest of it.

    Args:
        name: The notebook's name without ending, for example `02_inner_product`.

    Returns:
        The classes as attributes.

    Raises:
        FileNotFoundError: There is no such notebook.
    """
    path = ROOT / "notebooks" / f"{name}.ipynb"
    if not path.exists():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.ipynb")))
        raise FileNotFoundError(f"no notebook {name!r} in {path.parent}; there are: {known}")
    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    tree = ast.parse(code)
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef)]
    namespace = {"__name__": name}
    exec(compile(tree, str(path), "exec"), namespace)
    return SimpleNamespace(**{n.name: namespace[n.name] for n in tree.body if isinstance(n, ast.ClassDef)})
