"""Pages that show files of the repository, where another page links to one or names it."""

import ast
import re
import shutil
from collections import defaultdict
from functools import cache
from pathlib import Path
from posixpath import normpath

import nbformat

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("benchmarks", "exercises", "notebooks", "utilities", "tests")
LANGUAGES = {".py": "python", ".pyi": "python", ".js": "javascript", ".css": "css", ".md": "markdown"}
PAGES = {  # what has a page of its own, if the site has that page
    "README.md": "index",
    "LICENSE": "licences",
    "benchmarks": "benchmarks",
    "benchmarks/README.md": "benchmarks",
    "benchmarks/experiments": "benchmarks",
    "exercises/TEACHING.md": "teaching",
    "exercises/solved": "map",
    "utilities/sample/README.md": "licences",
}
LINK = re.compile(r"(?<=\])\((?![a-z]+:|#)([^()\s#]+)(#[^()\s]*)?\)")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
READ = re.compile(r"[\"'](\w+\.csv)[\"']")
SHOWN_ROWS = 12  # of a table
INDEX = """# Sources

Files of the repository that the pages of this site speak of. The package itself is in the
[reference](../reference/index.md), where each name has its source.
"""
TABLE = """
## {}

| file | what it is | where it is used |
| --- | --- | --- |
"""


def stage(folder: Path) -> None:
    """Let relative links of staged pages lead to pages, and write those that show a source."""
    users = defaultdict(dict)  # the pages that use a file, and their titles, by the file
    staged = [p for p in folder.rglob("*") if p.suffix in (".md", ".ipynb") and "downloads" not in p.parts]
    for path in sorted(staged):
        for file in link_sources(path, folder):
            users[file][path.relative_to(folder).as_posix()] = title_of(path)
    index, shown = INDEX, None
    for file in sorted(users, key=lambda file: (Path(file).parent, file)):
        if Path(file).parent != shown:
            shown = Path(file).parent
            index += TABLE.format(shown.as_posix())
        if file.endswith(".csv"):
            shutil.copy(ROOT / file, folder / "downloads")
        page = folder / "sources" / f"{file}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(source_page(file, users[file]), encoding="utf-8")
        index += f"| [{Path(file).name}](/sources/{file}.md) | {says(file)} | {links(users[file])} |\n"
    (folder / "sources" / "index.md").write_text(index, encoding="utf-8")


def link_sources(path: Path, folder: Path) -> list[str]:
    """Turn a staged page's links to files into links to pages; give the files that it links, names or reads."""
    found = []

    def mended(match: re.Match) -> str:
        target = normpath(path.parent.relative_to(folder).as_posix() + "/" + match[1])
        if (folder / target).exists() or target not in files() | PAGES.keys():
            return match[0]
        page = page_of(target, folder)
        if page.startswith("sources/"):
            found.append(target)
        return f"(/{page}.md{match[2] or ''})"

    def mend(text: str) -> str:
        named = map(file_named, CODE.findall(text))
        found.extend(file for file in named if file and page_of(file, folder).startswith("sources/"))
        return LINK.sub(mended, text)

    if path.suffix == ".md":
        path.write_text(mend(path.read_text(encoding="utf-8")), encoding="utf-8")
        return found
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = mend(cell.source)
        else:
            found += filter(None, map(file_named, READ.findall(cell.source)))
    nbformat.write(notebook, path)
    return found


def page_of(file: str, folder: Path) -> str:
    """Give the page of the site that a file of the repository has, or will have."""
    own = PAGES.get(file)
    return own if own and (folder / f"{own}.md").exists() else f"sources/{file}"


@cache
def file_named(text: str) -> str | None:
    """Give the file that inline code names, by its path or, if no other has it, by its name; or a folder with a page."""
    name = text.removeprefix("python ").rstrip("/")
    if name in PAGES and "/" in text:
        return name
    return name if name in files() else names().get(name)


@cache
def files() -> frozenset[str]:
    """List the files that can have a page."""
    paths = [path for part in FOLDERS for path in (ROOT / part).rglob("*") if path.suffix in {*LANGUAGES, ".csv"}]
    return frozenset(path.relative_to(ROOT).as_posix() for path in paths)


@cache
def names() -> dict[str, str]:
    """Give the only file of each name; `search.py` is the script of the experiments."""
    by_name = defaultdict(list)
    for file in files():
        by_name[Path(file).name].append(file)
    return {name: found[0] for name, found in by_name.items() if len(found) == 1}


def source_page(file: str, users: dict[str, str]) -> str:
    """Write the page of a file."""
    text, suffix = (ROOT / file).read_text(encoding="utf-8"), Path(file).suffix
    facts = [f"Used in {links(users)}"]
    if other := companion(file):
        facts.append(f"{'Written by' if suffix == '.csv' else 'Writes'} `{other}`")
    if suffix == ".csv":
        lines = text.splitlines()
        facts.append(f"{{download}}`Download all {len(lines) - 1:,} rows </downloads/{Path(file).name}>`")
        text = "\n".join(lines[: SHOWN_ROWS + 1])
    head = f"---\norphan: true\nnosearch: true\n---\n# {file}\n\n{{.facts}}\n{' · '.join(facts)}\n\n"
    return f"{head}``````{LANGUAGES.get(suffix, 'text')}\n{text.rstrip()}\n``````\n"


def companion(file: str) -> str | None:
    """Give the table that a script writes, or the script that writes a table."""
    path = Path(file)
    other = path.with_suffix(".py" if path.suffix == ".csv" else ".csv")
    scripts = (other, other.with_name(f"bench_{other.name}"), other.with_name(other.name.removeprefix("bench_")))
    return next((script.as_posix() for script in scripts if script.as_posix() in files() - {file}), None)


def says(file: str) -> str:
    """Give what a file is: of a script, the first line of its docstring."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if file.endswith(".py"):
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return f"{text.count(chr(10)) - 1:,} rows" if file.endswith(".csv") else ""


def links(users: dict[str, str]) -> str:
    """Give links to pages by their titles."""
    return ", ".join(f"[{title}](/{page})" for page, title in users.items())


def title_of(path: Path) -> str:
    """Give the title of a staged page."""
    text = path.read_text(encoding="utf-8")
    text = nbformat.reads(text, as_version=4).cells[0].source if path.suffix == ".ipynb" else text
    return re.search(r"^# (.+)$", text, re.MULTILINE)[1]
