"""Execute the notebooks in order: into `build/` (run), or from a clean state in place (refresh)."""

import argparse
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import polars as pl
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from tqdm import tqdm

import utilities
from utilities.claims import SIGNS, UNTRIED, claims_in

FOLDER = Path(__file__).resolve().parent
BUILD = FOLDER.parent / "build"
README = FOLDER.parent / "README.md"
RESULTS_START, RESULTS_END = "<!-- results:start -->", "<!-- results:end -->"
CELL_TIMEOUT_S = 24 * 3600  # a cell may train on ml-25m for hours
# The steps of these models are short: a second thread costs more than it brings. Threads that wait must not spin.
THREADS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
VIEW = "application/vnd.jupyter.widget-view+json"
SITE = FOLDER.parent / "site"


def main() -> None:
    """Read the command line and execute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["run", "refresh"])
    parser.add_argument(
        "notebooks", nargs="*", help="parts of names, for example 02; all unless given"
    )
    arguments = parser.parse_args()
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)
    os.environ["MOVIELENS_CLAIMS"] = "strict"
    paths = chosen(arguments.notebooks)
    if arguments.mode == "refresh":
        refresh(paths)
    else:
        run(paths)
        build_site(paths)


def chosen(parts: list[str]) -> list[Path]:
    """Give the notebooks whose names contain one of the parts, all without any; a part without one ends the program."""
    paths = sorted(FOLDER.glob("*.ipynb"))
    for part in parts:
        if not any(part in path.name for path in paths):
            sys.exit(
                f"no notebook has {part!r} in its name; there are: {', '.join(p.stem for p in paths)}"
            )
    return [p for p in paths if not parts or any(part in p.name for part in parts)]


def run(paths: list[Path]) -> None:
    """Execute into `build/`, against the user's own store, and print what came out."""
    start = datetime.now(UTC)
    print(utilities.settings(), flush=True)
    BUILD.mkdir(exist_ok=True)
    claims = {}
    for path in paths:
        notebook = execute(path)
        nbformat.write(notebook, BUILD / path.name)
        claims[path.stem] = claims_of(notebook, nbformat.read(path, as_version=4))
    runs = results_table(utilities.runs_to_df().filter(pl.col("start_time") >= start))
    text = f"# Results\n\nThe runs of these notebooks:\n\n{runs}\n"
    results = utilities.data_folder("results") / "results.md"
    if results.exists() and results.stat().st_mtime >= start.timestamp():
        text += f"\n{results.read_text(encoding='utf-8').strip()}\n"
    text += f"\n{ledger(claims)}\n"
    write(BUILD / "results.md", text)
    print(f"\n{text}\nThis text and the notebooks as executed are in {BUILD}.", flush=True)


def build_site(executed: list[Path]) -> None:
    """Build the site's pages from what was executed, and from the committed outputs of the other notebooks."""
    paths = [BUILD / path.name if path in executed else path for path in chosen([])]
    subprocess.run([sys.executable, SITE / "build.py", *paths], check=True)


def claims_of(
    executed: nbformat.NotebookNode, committed: nbformat.NotebookNode
) -> list[tuple[bool | None, str]]:
    """Give a notebook's claims: whether they held as it was executed, and their words; what it has skipped was not tried."""
    found = dict.fromkeys((sentence for _, sentence in printed_claims(committed)), None)
    found |= {sentence: holds for holds, sentence in printed_claims(executed)}
    return [(holds, sentence) for sentence, holds in found.items()]


def printed_claims(notebook: nbformat.NotebookNode) -> list[tuple[bool | None, str]]:
    """Give the claims that a notebook has printed: whether they hold, and their words."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [claim for o in outputs if o.get("name") == "stdout" for claim in claims_in(o.text)]


def ledger(claims: dict[str, list[tuple[bool | None, str]]]) -> str:
    """Say in Markdown which claims of the notebooks hold, which do not, and which were not tried."""
    found = [holds for of_notebook in claims.values() for holds, _ in of_notebook]
    n_untried = found.count(None)
    text = f"# Claims\n\n{found.count(True)} of {len(found) - n_untried} hold on this data."
    if n_untried:
        text += f" {n_untried} more ({SIGNS[None]}) {UNTRIED}."
    for name, of_notebook in claims.items():
        text += f"\n\n## {name}\n\n"
        text += "\n".join(f"- {SIGNS[holds]} {sentence}" for holds, sentence in of_notebook)
    return text + "\n"


def refresh(paths: list[Path]) -> None:
    """Execute on the built-in sample with an empty store; rewrite outputs, what is generated, and README's table.

    The notebooks keep their metadata, so that what another Python writes there is no change.
    """
    state = BUILD / "refresh"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith("MOVIELENS_")]:
        del os.environ[name]
    os.environ |= {
        "MOVIELENS_CLAIMS": "strict",
        "MOVIELENS_ACCELERATOR": "cpu",
        "MOVIELENS_DATA_DIR": str(state / "data"),
        "MOVIELENS_WORK_DIR": str(state / "work"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{state / 'mlflow.db'}",
        "CUDA_VISIBLE_DEVICES": "",
    }
    for export in ("export_models.py", "export_exercises.py"):
        subprocess.run([sys.executable, FOLDER / export], check=True)
    everything = paths == chosen([])
    experiments = FOLDER.parent / "benchmarks" / "experiments"
    for experiment in sorted(experiments.glob("[!_]*.py")) if everything else ():
        print(f"{experiment.name} takes minutes", flush=True)
        subprocess.run([sys.executable, experiment], check=True)
    solved = FOLDER.parent / "exercises" / "solved"
    for path in [*paths, *(solved / path.name for path in paths if (solved / path.name).exists())]:
        metadata = nbformat.read(path, as_version=4).metadata
        notebook = execute(path)
        notebook.metadata = metadata
        write(path, nbformat.writes(notebook).replace("build/refresh/", "") + "\n")
    if everything:
        results = state / "data" / "results" / "results.md"
        replace_results(README, results.read_text(encoding="utf-8"))


def replace_results(path: Path, results: str) -> None:
    """Put the results between the two markers of a Markdown file."""
    before, start, rest = path.read_text(encoding="utf-8").partition(RESULTS_START)
    _, end, after = rest.partition(RESULTS_END)
    if not start or not end:
        sys.exit(
            f"{path} has no line {RESULTS_START} followed by a line {RESULTS_END}: the results have no place in it"
        )
    write(path, f"{before}{start}\n{results.strip()}\n{end}{after}")


def write(path: Path, text: str) -> None:
    """Write a text file, which is never half written and keeps its permissions."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    if path.exists():
        shutil.copymode(path, part)
    part.replace(path)


def execute(path: Path) -> nbformat.NotebookNode:
    """Execute a notebook, or stop the program with the name of the notebook, the cell and its traceback."""
    notebook = nbformat.read(path, as_version=4)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code_cells:  # what stands there is from the last execution
        cell.execution_count, cell.outputs = None, []
    with tqdm(
        total=len(code_cells),
        desc=f"{path.parent.name}/{path.stem}",
        unit="cell",
        ncols=100,
        file=sys.stdout,
    ) as bar:
        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT_S,
            kernel_name="python3",
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(path.parent)}},
            coalesce_streams=True,
            record_timing=False,
            store_widget_state=False,  # with it, a page without a kernel shows no picture
            on_cell_executed=lambda cell, cell_index, execute_reply: bar.update(),
        )
        try:
            client.execute()
            for output in (output for cell in code_cells for output in cell.outputs):
                output.get("data", {}).pop(
                    VIEW, None
                )  # names a widget of the kernel that has ended
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
