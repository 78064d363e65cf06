"""Execute the notebooks in order: into `build/` (run), or from a clean state in place (refresh)."""

import argparse
import copy
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

import latex2mathml.converter
import nbformat
import polars as pl
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from tqdm import tqdm

import utilities

FOLDER = Path(__file__).resolve().parent
BUILD = FOLDER.parent / "build"
README = FOLDER.parent / "README.md"
RESULTS_START, RESULTS_END = "<!-- results:start -->", "<!-- results:end -->"
CELL_TIMEOUT_S = 24 * 3600  # a cell may train on ml-25m for hours


def main() -> None:
    """Read the command line and execute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["run", "refresh"])
    parser.add_argument(
        "notebooks", nargs="*", help="parts of names, for example 02; all unless given"
    )
    arguments = parser.parse_args()
    paths = [
        p
        for p in sorted(FOLDER.glob("*.ipynb"))
        if not arguments.notebooks or any(n in p.name for n in arguments.notebooks)
    ]
    {"run": run, "refresh": refresh}[arguments.mode](paths)


def run(paths: list[Path]) -> None:
    """Execute into `build/` as .ipynb and .html, against the user's own store, and print the runs made."""
    start = datetime.now(UTC)
    print(utilities.settings(), flush=True)
    BUILD.mkdir(exist_ok=True)
    for path in paths:
        notebook = execute(path)
        nbformat.write(notebook, BUILD / path.name)
        html, _ = HTMLExporter().from_notebook_node(
            with_mathml(notebook), {"metadata": {"name": path.stem}}
        )
        (BUILD / f"{path.stem}.html").write_text(html, encoding="utf-8")
    print(f"\nThe notebooks as executed are in {BUILD.relative_to(FOLDER.parent)}/. Their runs:\n")
    print(results_table(utilities.runs_to_df().filter(pl.col("start_time") >= start)))
    changed = [
        name
        for name in os.environ
        if name.startswith("MOVIELENS_") and name != "MOVIELENS_DATA_DIR"
    ]
    results = utilities.data_folder("results") / "which_model.md"
    if paths == sorted(FOLDER.glob("*.ipynb")) and not changed and results.exists():
        replace_results(README, results.read_text(encoding="utf-8"))


def replace_results(path: Path, results: str) -> None:
    """Put the results between the two markers of a Markdown file, which is never half written."""
    before, start, rest = path.read_text(encoding="utf-8").partition(RESULTS_START)
    _, end, after = rest.partition(RESULTS_END)
    if not start or not end:
        sys.exit(
            f"{path} has no line {RESULTS_START} followed by a line {RESULTS_END}: the results have no place in it"
        )
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        file.write(f"{before}{start}\n{results.strip()}\n{end}{after}")
    shutil.copymode(path, file.name)
    Path(file.name).replace(path)


def refresh(paths: list[Path]) -> None:
    """Execute on the built-in sample with an empty store, and rewrite the outputs of the notebooks."""
    state = BUILD / "refresh"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith("MOVIELENS_")]:
        del os.environ[name]
    os.environ |= {
        "MOVIELENS_DATA_DIR": str(state / "data"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{state / 'mlflow.db'}",
        "CUDA_VISIBLE_DEVICES": "",
    }
    for path in paths:
        text = nbformat.writes(execute(path))
        path.write_text(text.replace("build/refresh/", "") + "\n", encoding="utf-8")


def with_mathml(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Replace LaTeX in the prose by MathML, which browsers show without a network."""

    def convert(match: re.Match) -> str:
        block, inline = match.groups()
        return latex2mathml.converter.convert(
            block or inline, display="block" if block else "inline"
        )

    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(
                r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", convert, cell.source, flags=re.DOTALL
            )
    return notebook


def execute(path: Path) -> nbformat.NotebookNode:
    """Execute a notebook, or stop the program with the name of the notebook, the cell and its traceback."""
    notebook = nbformat.read(path, as_version=4)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code_cells:  # what stands there is from the last execution
        cell.execution_count, cell.outputs = None, []
    with tqdm(
        total=len(code_cells), desc=path.stem, unit="cell", ncols=100, file=sys.stdout
    ) as bar:
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT_S,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(path.parent)}},
            coalesce_streams=True,
            record_timing=False,
            on_cell_executed=lambda cell, cell_index, execute_reply: bar.update(),
        )
        try:
            client.execute()
        except (CellExecutionError, DeadKernelError) as error:
            bar.close()
            BUILD.mkdir(exist_ok=True)
            nbformat.write(notebook, BUILD / path.name)
            cell = max(
                (i for i, c in enumerate(notebook.cells) if c.get("execution_count")), default=0
            )
            sys.exit(
                f"\n{path.name} failed in cell {cell} (the executed part is in build/{path.name}):\n{error}"
            )
    return notebook


def results_table(runs_df: pl.DataFrame) -> str:
    """Give the runs as a Markdown table, one row each: the errors are mean squared errors in stars²."""
    columns = [
        pl.col("model"),
        pl.col("n_parameters").alias("parameters"),
        pl.col("seconds").round(1).alias("seconds of the run"),
        pl.col("best_val_loss").round(3).alias("validation MSE"),
        pl.col("test_loss").round(3).alias("test MSE"),
    ]
    known = [column for column in columns if column.meta.root_names()[0] in runs_df.columns]
    with pl.Config(
        tbl_formatting="MARKDOWN",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        tbl_rows=-1,
        tbl_cols=-1,
        fmt_str_lengths=60,
        tbl_width_chars=120,
    ):
        return str(runs_df.select(known)).replace(" null ", "      ")


if __name__ == "__main__":
    main()
