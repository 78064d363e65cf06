"""Classes that a notebook teaches, for the notebooks and tests that come after it."""

import ast
import json
from types import SimpleNamespace

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
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]  # nbformat takes seconds to import
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    tree = ast.parse(code)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    used = {node.id for node in ast.walk(ast.Module(classes, [])) if isinstance(node, ast.Name)}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) and _names(node) & used]
    tree.body = imports + classes
    namespace = {"__name__": name}
    exec(compile(tree, str(path), "exec"), namespace)
    return SimpleNamespace(**{node.name: namespace[node.name] for node in classes})


def _names(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Give the names that an import binds."""
    return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
