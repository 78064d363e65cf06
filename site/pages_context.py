"""What the hand-written pages take from the repository: figures, tables, sections, and links that hold on the site."""

import base64
import posixpath
import re
from importlib.metadata import distribution
from pathlib import Path

from mdit_py_plugins.anchors.index import slugify

HERE = Path(__file__).resolve().parent
SHIPPED = {  # packages of which a page loads a script or a style
    "sphinx": "the search, and scripts and styles under every page",
    "pydata-sphinx-theme": "the theme under the theme, with the switch for light and dark",
    "sphinx-book-theme": "the theme: how a page is laid out",
    "myst-nb": "the style of a notebook's cells and outputs",
    "pygments": "the marking of code",
    "accessible-pygments": "the colours of code",
}


class Context:
    """What a page's template may ask for."""

    def __init__(self, folder: Path, notebooks: list):
        """Keep the folder of the sources, for figures, and the notebooks by their numbers."""
        self.folder, self.notebooks = folder, {n.number: n for n in notebooks}

    def names(self) -> dict:
        """Give the names that templates know."""
        asked = (self.at, self.figure, self.table, self.notation, self.roots)
        given = (rebased, builds_on, run_time, shipped, notices)
        return {"notebooks": self.notebooks} | {function.__name__: function for function in (*asked, *given)}

    def at(self, number: str, heading: str | None = None) -> str:
        """Give a link to a notebook, or to one of its sections by the section's heading."""
        notebook = self.notebooks[number]
        if heading is None:
            return f"[{notebook.title}](notebooks/{notebook.name}.ipynb)"
        self._section(number, heading)
        return f"[{number} · {heading}](notebooks/{notebook.name}.ipynb#{slugify(heading)})"

    def figure(self, number: str, cell_id: str) -> str:
        """Give the figure of a notebook's cell with its alt text; nothing if the cell made none, on data that lacks it."""
        cell = next(cell for cell in self.notebooks[number].cells if cell.id == cell_id)
        pictures = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
        if not pictures:
            return ""
        path = self.folder / "figures" / f"{number}-{cell_id}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(base64.b64decode(pictures[0]))
        return f"```{{image}} figures/{path.name}\n:alt: {self.notebooks[number].alt(cell)}\n```"

    def table(self, number: str, heading: str) -> str:
        """Give the table that a section of a notebook has in its prose."""
        return "\n".join(re.findall(r"^\|.*", self._section(number, heading), re.MULTILINE))

    def notation(self) -> str:
        """Give the course's table of symbols, with links to the notebooks where each comes first."""
        head, rule, *rows = self.table("01", "Notation").splitlines()
        return "\n".join([head, rule, *(self._linked_row(row) for row in rows)])

    def _linked_row(self, row: str) -> str:
        symbol_and_meaning, numbers = row.rstrip("| ").rsplit("|", 1)
        links = re.sub(r"\d\d", lambda m: f"[{m[0]}](notebooks/{self.notebooks[m[0]].name}.ipynb)", numbers)
        return f"{symbol_and_meaning}|{links} |"

    def _section(self, number: str, heading: str) -> str:
        prose = "\n\n".join(c.source for c in self.notebooks[number].cells if c.cell_type == "markdown")
        found = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", prose, re.MULTILINE | re.DOTALL)
        if not found:
            raise ValueError(f"notebook {number} has no section {heading!r}: name one of its headings")
        return found[1]

    def roots(self) -> list:
        """Give the tree of the course: pairs of a notebook and those that build on it most directly."""
        parents = {}
        for number, notebook in self.notebooks.items():
            before = [other for other in builds_on(notebook) if other in self.notebooks]
            parents[number] = max(before, key=lambda other: depth(other, parents), default=None)
        return children(None, parents, self.notebooks)


def rebased(text: str, folder: str) -> str:
    """Let the relative links of a text from a folder of the repository start at the repository."""

    def link(match: re.Match) -> str:
        return f"({posixpath.normpath(posixpath.join(folder, match[1]))})"

    return re.sub(r"(?<=\])\((?!https?:|#)([^)\s]+)\)", link, text)


def depth(number: str | None, parents: dict) -> int:
    """Say how many notebooks lie before one in the tree."""
    return 0 if number is None else 1 + depth(parents[number], parents)


def children(number: str | None, parents: dict, notebooks: dict) -> list:
    """Give what hangs under a notebook of the tree."""
    below = [other for other, parent in parents.items() if parent == number]
    return [(notebooks[other], children(other, parents, notebooks)) for other in below]


def builds_on(notebook) -> list[str]:
    """Give the numbers of the notebooks to read before one, without those that a single section asks for."""
    said = re.search(r"\*\*Read before\.\*\*\s+(.*?)(?:;|\*\*|\n\n)", notebook.cells[0].source, re.DOTALL)[1]
    return sorted(re.findall(r"\b\d\d\b", said))


def run_time(notebook) -> str:
    """Give how long a notebook runs on the built-in sample, in its own words."""
    return re.search(r"\*\*Run time\.\*\*\s+(.+?)(?:,|;|\.| on )", notebook.cells[0].source)[1].lower()


def shipped() -> list[dict]:
    """Give what the pages contain of other projects: name, version, purpose, licence and its text."""
    return [
        {"name": d.metadata["Name"], "version": d.version, "what": what, "licence": licence_of(d), "text": text_of(d)}
        for d, what in ((distribution(name), what) for name, what in SHIPPED.items())
    ]


def licence_of(package) -> str:
    """Give the licence that a package's metadata names."""
    classified = [c for c in package.metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    named = package.metadata.get("License-Expression") or package.metadata.get("License")
    return named or classified[0].rpartition(":: ")[2]


def text_of(package) -> str:
    """Give the text of a package's licence."""
    file = next(path for path in package.files if path.name.startswith("LICENSE"))
    return file.read_text(encoding="utf-8").strip()


def notices() -> str:
    """Give the notices of what the theme has bundled: Bootstrap, and Font Awesome's fonts."""
    files = sorted(path for path in distribution("pydata-sphinx-theme").files if path.name.endswith(".LICENSE.txt"))
    text = "\n\n".join(
        re.sub(r"^ *(/\*!|\*/|\*)\s?", "", f.read_text(encoding="utf-8"), flags=re.MULTILINE) for f in files
    )
    return re.sub(r"\n{2,}", "\n\n", text.strip())
