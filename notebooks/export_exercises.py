"""Write what the sources `exercises/NN_name.py` give: stubs, solved notebooks, and the lists in the notebooks."""

import re
import textwrap
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from utilities.exercises.sources import Exercise, Sheet, read_source

FOLDER = Path(__file__).resolve().parent
EXERCISES = FOLDER.parent / "exercises"
SOLVED = EXERCISES / "solved"
TOOLS = "from utilities import check, hint, progress, solution"
FOLDED = {"jupyter": {"source_hidden": True}, "tags": ["hide-input"]}


def stub_notebook(sheet: Sheet, exercises: tuple[Exercise, ...]) -> nbformat.NotebookNode:
    """Give the notebook that a learner works in: for each exercise its statement, its stub and its check."""
    cells = [new_markdown_cell(sheet.intro), new_code_cell(f"{TOOLS}\n\n{sheet.setup}")]
    for exercise in exercises:
        cells += [
            new_markdown_cell(exercise.statement),
            new_code_cell(exercise.stub),
            _check_cell(exercise),
        ]
    return _notebook(sheet, [*cells, new_code_cell("progress()")])


def solved_notebook(sheet: Sheet, exercises: tuple[Exercise, ...]) -> nbformat.NotebookNode:
    """Give the notebook with the solutions, the reasoning and the known mistakes, each folded; not executed."""
    title, _, prose = sheet.intro.partition("\n")
    intro = f"{title}, solved\n{prose}\n\nSolutions are folded. Try first: [the stubs](../{sheet.path.stem}.ipynb)."
    intro = intro.replace("](../notebooks/", "](../../notebooks/")
    cells = [new_markdown_cell(intro), new_code_cell(f"{TOOLS}\n\n{sheet.setup}")]
    for exercise in exercises:
        mistakes = "\n".join(
            f"- *{mistake.name}*: {mistake.message}" for mistake in exercise.mistakes
        )
        cells += [
            new_markdown_cell(exercise.statement),
            new_code_cell(exercise.solution, metadata=FOLDED),
            _check_cell(exercise),
            new_markdown_cell(
                _folded("Why", exercise.why) + "\n\n" + _folded("Common mistakes", mistakes)
            ),
        ]
    return _notebook(sheet, cells)


def section(sheet: Sheet, exercises: tuple[Exercise, ...]) -> str:
    """Give the section of the notebook that lists its exercises."""
    intro = (
        f"In [{sheet.path.stem}.ipynb](../exercises/{sheet.path.stem}.ipynb) each has a stub, and a `check` that "
        "knows the usual mistakes. ★ is a line, ★★ a function, ★★★ an experiment whose conclusion you argue with numbers. "
        "`make exercises` puts a copy of yours into `work/exercises/`."
    )
    titles = [e.title if e.title.endswith("?") else f"{e.title}." for e in exercises]
    lines = [
        f"- **{e.number} {'★' * e.stars} {title}** {e.summary}"
        for e, title in zip(exercises, titles, strict=True)
    ]
    wrapped = [
        textwrap.fill(line, 120, subsequent_indent="  ", break_long_words=False) for line in lines
    ]
    return "\n".join(
        ["## Exercises", "", textwrap.fill(intro, 120, break_long_words=False), "", *wrapped]
    )


def with_section(notebook: nbformat.NotebookNode, text: str) -> nbformat.NotebookNode:
    """Replace the section on exercises of a notebook, which reaches to the next heading."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.search(r"^## Exercises$", cell.source, re.MULTILINE):
            start, _, rest = cell.source.partition("## Exercises")
            cell.source = (
                start + text + "\n\n" + rest[rest.index("## ") :] if "## " in rest else start + text
            )
            return notebook
    raise ValueError("the notebook has no heading '## Exercises'")


def with_outputs_of(notebook: nbformat.NotebookNode, path: Path) -> nbformat.NotebookNode:
    """Give a notebook the outputs of an executed one at a path, where the code is the same."""
    old = nbformat.read(path, as_version=4).cells if path.exists() else []
    executed = {(cell.id, cell.source): cell for cell in old if cell.cell_type == "code"}
    for cell in notebook.cells:
        if known := executed.get((cell.id, cell.source)):
            cell.outputs, cell.execution_count = known.outputs, known.execution_count
    return notebook


def main() -> None:
    """Write them all; the solved notebooks keep the outputs that they have."""
    SOLVED.mkdir(exist_ok=True)
    for path in sorted(EXERCISES.glob("[0-9]*.py")):
        source = read_source(path)
        _write(EXERCISES / f"{path.stem}.ipynb", stub_notebook(*source))
        solved = SOLVED / f"{path.stem}.ipynb"
        _write(solved, with_outputs_of(solved_notebook(*source), solved))
        course = FOLDER / f"{path.stem}.ipynb"
        _write(course, with_section(nbformat.read(course, as_version=4), section(*source)))


def _check_cell(exercise: Exercise) -> nbformat.NotebookNode:
    return new_code_cell(f'check("{exercise.number}", {exercise.answer})')


def _folded(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def _notebook(sheet: Sheet, cells: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    """Put cells together, with ids that stay and the metadata of the course's notebook."""
    for i, cell in enumerate(cells):
        cell.id = f"cell-{i:02d}"
    course = nbformat.read(FOLDER / f"{sheet.path.stem}.ipynb", as_version=4)
    return new_notebook(cells=cells, metadata=course.metadata)


def _write(path: Path, notebook: nbformat.NotebookNode) -> None:
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
