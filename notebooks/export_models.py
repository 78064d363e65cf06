"""Write the architectures that the notebooks teach, their cells tagged `export`, to `utilities/models.py`."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat

FOLDER = Path(__file__).resolve().parent
MODELS = FOLDER.parent / "utilities" / "models.py"
HEAD = '''"""The architectures of the course, as the notebooks define them.

Generated from the notebooks' cells tagged `export` by `make refresh`: edit those, not this file.
"""
'''


def models_source() -> str:
    """Put together the module: the imports that the exported cells need, and the cells in the order of the notebooks."""
    imports, cells = set(), []
    for path in sorted(FOLDER.glob("*.ipynb")):
        code = [
            cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
        ]
        exported = [cell.source for cell in code if "export" in cell.metadata.get("tags", [])]
        used = {
            node.id
            for node in ast.walk(ast.parse("\n".join(exported)))
            if isinstance(node, ast.Name)
        }
        tree = ast.parse("\n".join(cell.source for cell in code))
        imports |= {ast.unparse(node) for node in tree.body if _binds(node) & used}
        cells += exported
    source = "\n".join([HEAD, *sorted(imports), *cells])
    for arguments in (["check", "--fix", "--select", "I"], ["format"]):
        command = [
            sys.executable,
            "-m",
            "ruff",
            *arguments,
            "--quiet",
            "--stdin-filename",
            str(MODELS),
            "-",
        ]
        source = subprocess.run(
            command, input=source, capture_output=True, text=True, check=True
        ).stdout
    return source


def _binds(node: ast.stmt) -> set[str]:
    """Give the names that an import binds; of another statement none."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return set()
    return {alias.asname or alias.name.partition(".")[0] for alias in node.names}


if __name__ == "__main__":
    MODELS.write_text(models_source(), encoding="utf-8")
