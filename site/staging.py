"""Write Sphinx's sources: the pages, and the notebooks and sheets as the site shows them."""

import copy
import html
import re
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import figures
import jinja2
import nbformat
import pages_context
import reference
import sources
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from utilities.claims import LINE, SIGNS, UNTRIED, claims_in
from utilities.exercises.sources import all_exercises
from utilities.releases import RELEASES
from utilities.widgets import base as widgets

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORDS_A_MINUTE, LINES_A_MINUTE = 200, 12  # prose; code, which is read line by line


@dataclass(frozen=True)
class Claim:
    """A claim that a notebook has printed: whether it holds, its words, the section it stands in, and its anchor."""

    holds: bool | None
    sentence: str
    section: str
    anchor: str


@dataclass(frozen=True)
class Notebook:
    """An executed notebook of the course."""

    path: Path

    @cached_property
    def cells(self) -> list[nbformat.NotebookNode]:
        """Its cells."""
        return nbformat.read(self.path, as_version=4).cells

    @property
    def name(self) -> str:
        """For example `01_data_exploration`."""
        return self.path.stem

    @property
    def number(self) -> str:
        """For example `01`."""
        return self.name[:2]

    @property
    def title(self) -> str:
        """For example `01 · Data exploration`."""
        return self.cells[0].source.splitlines()[0].removeprefix("# ")

    @property
    def question(self) -> str:
        """What it answers."""
        return re.search(r"\*\*Question\.\*\*\s+(.+?)\n\n", self.cells[0].source, re.DOTALL)[1].replace("\n", " ")

    @cached_property
    def claims(self) -> list[Claim]:
        """What it claims, in its order."""
        found, section = [], self.title
        for cell in self.cells:
            if cell.cell_type == "markdown":
                section = ([section, *re.findall(r"^## (.+)$", cell.source, re.MULTILINE)])[-1]
            for output in cell.get("outputs", []):
                for holds, sentence in claims_in(output.get("text", "")):
                    found.append(Claim(holds, sentence, section, f"claim-{self.number}-{len(found) + 1}"))
        return found

    @property
    def skipped(self) -> list[Claim]:
        """What it claims as committed, and did not when it was executed: the data lacked what a section needs."""
        said = {claim.sentence for claim in self.claims}
        committed = Notebook(ROOT / "notebooks" / self.path.name).claims
        return [replace(claim, holds=None) for claim in committed if claim.sentence not in said]

    @cached_property
    def settings(self) -> str:
        """What its set-up prints of the settings, from the name of the dataset on; later ones may be of other data."""
        printed = "".join(output.get("text", "") for cell in self.cells for output in cell.get("outputs", []))
        return re.split("^dataset +", printed, flags=re.MULTILINE)[1]

    @property
    def dataset(self) -> str:
        """What it was executed on."""
        return self.settings.partition("\n")[0]

    @property
    def on_the_sample(self) -> bool:
        """Whether it was executed on what its prose speaks of; with other settings, too, its set-up prints a warning."""
        return self.dataset == "built-in" and not re.search("^prose +", self.settings, re.MULTILINE)

    def alt(self, cell: nbformat.NotebookNode) -> str:
        """Give the words for a cell's figure, whose numbers are those of the built-in sample."""
        return f"{'' if self.on_the_sample else 'On the built-in sample: '}{cell.metadata['alt']}"

    @property
    def minutes(self) -> int:
        """How long it takes to read."""
        prose = sum(len(cell.source.split()) for cell in self.cells if cell.cell_type == "markdown")
        lines = sum(cell.source.count("\n") + 1 for cell in self.cells if cell.cell_type == "code" and not folded(cell))
        return round(prose / WORDS_A_MINUTE + lines / LINES_A_MINUTE)

    def widget(self, name: str) -> str:
        """Give one of its widgets as HTML that moves without a kernel; nothing if it was not made, on data that lack it."""
        for output in (output for cell in self.cells for output in cell.get("outputs", [])):
            stored = output.get("metadata", {}).get(widgets.METADATA)
            if stored and stored["name"] == name:
                return widgets.on_a_page(stored, output.data["image/png"], output.data["text/plain"])
        return ""


def folded(cell: nbformat.NotebookNode) -> bool:
    """Say whether the code of a cell is plumbing that a reader unfolds."""
    return "hide-input" in cell.metadata.get("tags", [])


def stage(folder: Path, notebooks: list[Notebook]) -> None:
    """Write all sources into a folder, which is emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("notebooks", "exercises", "downloads/notebooks", "downloads/exercises"):
        (folder / part).mkdir(parents=True)
    for notebook in notebooks:
        name, downloads = notebook.path.name, folder / "downloads"
        nbformat.write(without_outputs(notebook.path), downloads / "notebooks" / name)
        nbformat.write(staged_notebook(notebook), folder / "notebooks" / name)
        shutil.copy(ROOT / "exercises" / name, downloads / "exercises" / name)
        shutil.copy(ROOT / "exercises" / "solved" / name, downloads / "exercises" / f"{notebook.name}_solved.ipynb")
        nbformat.write(staged_sheet(notebook.name), folder / "exercises" / name)
    context = names_of_pages(folder, notebooks)
    for path in sorted((HERE / "pages").rglob("*.md")):
        target = folder / path.relative_to(HERE / "pages")
        target.parent.mkdir(exist_ok=True)
        page = PAGES.get_template(path.relative_to(HERE / "pages").as_posix())
        target.write_text(page.render(context), encoding="utf-8")
    context["reference"].check()
    sources.stage(folder)


PAGES = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE / "pages"), undefined=jinja2.StrictUndefined)


def names_of_pages(folder: Path, notebooks: list[Notebook]) -> dict:
    """Give the names that the pages' templates know; figures go into a folder."""
    context = pages_context.Context(folder, notebooks).names()
    context |= {"part": part_of, "reference": reference.Reference(), "benchmarks": figures.Benchmarks(folder)}
    return context | {"signs": SIGNS, "kinds": KINDS, "untried": UNTRIED}


def said_of_ratings(notebooks: list[Notebook]) -> list[str]:
    """Give Sphinx's option that lets the footer name GroupLens only where a page shows its ratings."""
    return [] if all(notebook.dataset in RELEASES for notebook in notebooks) else ["-A", "own_ratings=1"]


def without_outputs(path: Path) -> nbformat.NotebookNode:
    """Give a notebook ready to be run; its outputs are on its page, and make it ten times as large."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def part_of(name: str, start: str, end: str | None = None) -> str:
    """Give what stands between two texts of a file of the repository, or from one to the end of the file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    begins = text.find(start) + len(start)
    ends = len(text) if end is None else text.find(end, begins)
    if start not in text or ends < 0:
        raise ValueError(f"{name} has no part from {start!r} to {end!r}: a page asks for it")
    return text[begins:ends]


def staged_notebook(notebook: Notebook) -> nbformat.NotebookNode:
    """Give a notebook as the site shows it: facts under the title, claims with links, widgets that move, alt texts."""
    cells, claims = copy.deepcopy(notebook.cells), iter(notebook.claims)
    title, _, rest = cells[0].source.partition("\n")
    facts = [
        f"{notebook.minutes} minutes to read",
        f"data: {notebook.dataset}",
        f"[Exercises](../exercises/{notebook.path.name})",
        f"[{len(notebook.claims)} claims](../ledger.md)",
        "[Symbols](../glossary.md#the-one-notation) and [terms](../glossary.md)",
        f"{{download}}`Download the notebook, to run <../downloads/notebooks/{notebook.path.name}>`",
    ]
    cells[0].source = under_title(title, facts, rest)
    for cell in cells:
        if cell.cell_type == "code":
            stage_code(cell, claims)
            if "alt" in cell.metadata:
                cell.metadata["mystnb"] = {"image": {"alt": notebook.alt(cell)}}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def under_title(title: str, facts: list[str], rest: str) -> str:
    """Put a line of facts under a title."""
    return f"{title}\n\n{{.facts}}\n{' · '.join(facts)}\n{rest}"


KINDS = {  # by whether a claim holds: how that is read aloud, and its class in the style sheet
    True: ("holds", "claim-holds"),
    False: ("does not hold", "claim-fails"),
    None: ("not tried on this data", "claim-untried"),
}
SOLUTION = {"code_prompt_show": "Show a solution", "code_prompt_hide": "Hide the solution"}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def stage_code(cell: nbformat.NotebookNode, claims) -> None:
    """Change the outputs of a cell to what a page shows."""
    shown = []
    for output in cell.outputs:
        if stored := output.get("metadata", {}).get(widgets.METADATA):
            shown.append(html_output(widgets.on_a_page(stored, output.data["image/png"], output.data["text/plain"])))
        elif output.get("name") == "stdout":
            shown += with_claims(output, claims)
        else:
            shown.append(output)
    cell.outputs = shown


def with_claims(output: nbformat.NotebookNode, claims) -> list[nbformat.NotebookNode]:
    """Cut a printed text into claims, which get an anchor and a link, and the lines between them."""
    shown, text = [], ""
    for line in output.text.splitlines(keepends=True):
        if not LINE.match(line):
            text += line
            continue
        shown += [*printed(text), html_output(claim_html(next(claims)))]
        text = ""
    return shown + printed(text)


def printed(text: str) -> list[nbformat.NotebookNode]:
    """Give a printed text as an output, nothing if it is blank."""
    return [new_output("stream", name="stdout", text=text)] if text.strip() else []


def claim_html(claim: Claim) -> str:
    """Give a claim as a line of the page, linked to the ledger."""
    word, kind = KINDS[claim.holds]
    link = f'<a href="../ledger.html#{claim.anchor}" title="This claim in the ledger">'
    link += f'<span aria-hidden="true">{SIGNS[claim.holds]}</span>'
    link += f'<span class="visually-hidden">Claim, {word}: in the ledger</span></a>'
    return f'<p class="claim {kind}" id="{claim.anchor}">{link} {html.escape(claim.sentence)}</p>'


def html_output(text: str) -> nbformat.NotebookNode:
    """Give an output that is HTML."""
    return new_output("display_data", data={"text/html": text})


def staged_sheet(name: str) -> nbformat.NotebookNode:
    """Give a solved sheet as the site shows it: hints one at a time, then the folded solution."""
    notebook = nbformat.read(ROOT / "exercises" / "solved" / f"{name}.ipynb", as_version=4)
    exercises = all_exercises()
    sheet = next(e.sheet for e in exercises.values() if e.sheet.path.stem == name)
    title, _, rest = sheet.intro.partition("\n")
    facts = [
        f"[The notebook](../notebooks/{name}.ipynb)",
        f"{{download}}`Download the sheet <../downloads/exercises/{name}.ipynb>`",
        f"{{download}}`solved <../downloads/exercises/{name}_solved.ipynb>`",
    ]
    notebook.cells[0].source = under_title(title, facts, rest)
    cells = notebook.cells[:2]
    for statement, solved, checked, why in zip(*(notebook.cells[i::4] for i in range(2, 6)), strict=True):
        exercise = exercises[re.match(r"## (\d\d\.\d+) ", statement.source)[1]]
        solved.source += f"\n\n{checked.source}"
        solved.outputs += checked.outputs
        solved.metadata = {"tags": ["hide-cell"], "mystnb": SOLUTION}
        stub = new_code_cell(f"{exercise.stub}\n\n{checked.source}")
        cells += [statement, stub, new_markdown_cell(nested(exercise.hints)), solved, why]
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def nested(hints: tuple[str, ...], i: int = 0) -> str:
    """Fold each hint into the one before, so that they come one at a time."""
    if i == len(hints):
        return ""
    rest = nested(hints, i + 1)
    return f"<details><summary>Hint {i + 1} of {len(hints)}</summary>\n\n{hints[i]}\n\n{rest}\n\n</details>"
