"""Figures of the page on benchmarks, drawn from the committed tables."""

import ast
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl

import utilities

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
MARKERS = {
    "torch": ("o", "this course"),
    "scikit-surprise": ("s", "Surprise"),
    "myfm": ("^", "myFM"),
    "lenskit": ("D", "LensKit"),
}
LEAST_SECONDS = 0.01  # the table's last digit: where less was measured, the point stands at it
PEERS = {  # what the two columns `dataset` and `movies` say
    ("built-in", "all"): "all movies of the built-in sample",
    ("built-in", "500"): "the 500 most-rated movies of the built-in sample",
    ("planted", "50"): "1.78 million planted ratings of 50 movies",
}
STAGES = ("fetch", "forward", "backward", "optimizer", "logging")
HATCHES = ("", "//", "\\\\", "xx", "..")
CHANGES = {  # one change after another
    "default loader, Adam,\na call to MLflow a step": ("default", "Adam", "a call a step"),
    "… whole batches": ("whole batches", "Adam", "a call a step"),
    "… and fused Adam": ("whole batches", "fused Adam", "a call a step"),
    "… and steps logged in batches": ("whole batches", "fused Adam", "in batches"),
}


@dataclass(frozen=True)
class Figure:
    """A picture of the site: its file beside the page, and what it shows, in words and numbers."""

    name: str
    alt: str


class Benchmarks:
    """What the page on benchmarks is made of."""

    def __init__(self, folder: Path):
        """Keep the folder of the sources, where the figures go."""
        self.folder = folder / "benchmarks"

    @property
    def sections(self) -> list[tuple[str, str]]:
        """The benchmarks' README: the introduction, then each script's heading and text with its figures."""
        intro, *rest = re.split(r"^## ", readme().partition("\n")[2], flags=re.MULTILINE)
        parts = [part.partition("\n") for part in rest]
        return [("", intro), *((heading.strip("`"), text) for heading, _, text in parts)]

    @property
    def experiments(self) -> list[tuple[str, str]]:
        """The scripts of the experiments, and what each says of itself."""
        scripts = sorted((BENCHMARKS / "experiments").glob("*.py"))
        return [(path.name, ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))) for path in scripts]

    def figures(self, script: str) -> str:
        """Draw the figures of a script's table, and give them as Markdown."""
        self.folder.mkdir(exist_ok=True)
        utilities.set_plot_style()
        drawn = [draw(self.folder) for draw in FIGURES.get(script, ())]
        return "\n\n".join(f"![{figure.alt}](benchmarks/{figure.name})" for figure in drawn)

    @property
    def peers(self) -> str:
        """The whole table of other libraries."""
        df = pl.read_csv(BENCHMARKS / "peers.csv", infer_schema=False)
        rows = [df.columns, ["---"] * df.width, *df.rows()]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def peers(folder: Path, dataset: str, movies: str) -> Figure:
    """Draw error against seconds for each model, one marker a library."""
    df = pl.read_csv(BENCHMARKS / "peers.csv", schema_overrides={"movies": pl.String}).filter(
        pl.col("dataset") == dataset, pl.col("movies") == movies
    )
    df = df.with_columns(
        pl.when(pl.col("threads") > 1).then("wall_seconds").otherwise("seconds").alias("seconds"),
        label=pl.when(pl.col("threads") > 1).then(pl.format("{}, two threads", "model")).otherwise("model"),
        package=pl.col("library").str.split(" ").list.first(),
    ).sort("test_mse", "threads")
    best = df.row(0, named=True)
    title = f"{best['model']} has the lowest error, in {best['seconds']:.1f} s"
    fig, ax = plt.subplots(figsize=(8, 4.8), layout="constrained")
    for package, (marker, label) in MARKERS.items():
        own = df.filter(pl.col("package") == package)
        for threads, fill in ((1, "full"), (2, "none")):
            part = own.filter(pl.col("threads") == threads)
            x = part["seconds"].clip(LEAST_SECONDS)
            ax.plot(
                x, part["test_mse"], marker, fillstyle=fill, label=label if threads == 1 else None, color=color(package)
            )
    label_points(ax, df)
    what = PEERS[dataset, movies]
    ax.set(ylabel="test MSE (stars²)", title=f"{what[0].upper()}{what[1:]}:\n{title}")
    hollow = " (hollow: by the clock, two threads)" if df["threads"].max() > 1 else ""
    seconds_axis(ax, f"processor seconds of the chosen fit{hollow}")
    ax.margins(y=0.08)
    ax.set_xlim(max(df["seconds"].min(), LEAST_SECONDS) / 1.5, df["seconds"].max() * 25)
    fig.legend(loc="outside lower center", ncols=len(MARKERS))
    rows = "; ".join(f"{r['label']} {r['test_mse']:.3f} in {spoken(r['seconds'])}" for r in df.iter_rows(named=True))
    alt = f"Test MSE in stars² against seconds, on {what}: {title}. From the lowest error on: {rows}."
    return save(fig, folder, f"peers_{dataset}_{movies}", alt)


def spoken(seconds: float) -> str:
    """Give seconds as the table has them; 0.0 means fewer than it can say."""
    return f"{seconds:.2f} s" if seconds else f"less than {LEAST_SECONDS} s"


def seconds_axis(ax, label: str) -> None:
    """Make the x axis logarithmic, with plain numbers."""
    ax.set(xscale="log", xlabel=label)
    ax.xaxis.set_major_formatter("{x:g}")


def color(package: str) -> str:
    """Give the colour of a library."""
    return f"C{list(MARKERS).index(package)}"


def label_points(ax, df: pl.DataFrame) -> None:
    """Write each model's name beside its point, moved up or down as far as the name before it needs."""
    low, high = df["test_mse"].min(), df["test_mse"].max()
    step, last = (high - low) / 20, float("-inf")
    for row in df.filter(pl.col("threads") == 1).iter_rows(named=True):
        last = max(row["test_mse"], last + step)
        x = max(row["seconds"], LEAST_SECONDS)
        ax.annotate(row["model"], (x, row["test_mse"]), (x * 1.3, last), va="center", fontsize=9, color="0.2")


def epochs(folder: Path) -> Figure:
    """Draw the seconds of an epoch in each way, from the tables of the README."""
    section = re.search(r"## `bench_epoch.py`\n(.*?)\n## ", readme(), re.DOTALL)[1]
    tables = re.findall(r"^\| (\w+) \| seconds \|\n\|---\|---\|\n((?:\|.*\n)+)", section, re.MULTILINE)
    faster, slower = re.search(r"(\d+) times as fast as the reference's way and takes ([\d.]+) times", section).groups()
    fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
    said = []
    for (model, body), marker in zip(tables, "os", strict=True):
        rows = re.findall(r"^\| (.+?) \| ([\d.]+) \(([\d.]+) to ([\d.]+)\) \|$", body, re.MULTILINE)
        ways, seconds = [row[0] for row in rows], [float(row[1]) for row in rows]
        ax.plot(seconds, ways, marker, label=model, fillstyle="full" if marker == "o" else "none", markersize=8)
        said.append(f"{model}: " + ", ".join(f"{way} {value:.2f} s" for way, value in zip(ways, seconds, strict=True)))
    title = f"InnerProduct: {faster} times as fast as the reference's way, {slower} times a bare loop"
    ax.set_title(title)
    seconds_axis(ax, "seconds an epoch, 1.78 million training rows")
    ax.invert_yaxis()
    ax.margins(y=0.2)
    ax.legend(loc="center right")
    return save(fig, folder, "epochs", f"Seconds of an epoch, on a logarithmic axis. {title}. {'. '.join(said)}.")


def stages(folder: Path) -> Figure:
    """Draw where the seconds of an epoch go, one change after another."""
    df = pl.read_csv(BENCHMARKS / "stages.csv").filter(
        pl.col("data") == "large", pl.col("workers") == 0, pl.col("batch_size") == 4096
    )
    plans = [
        df.row(
            by_predicate=pl.concat_str("loader", "optimizer", "logging", separator="|") == "|".join(plan), named=True
        )
        for plan in CHANGES.values()
    ]
    totals = [sum(plan[f"{stage}_s"] for stage in STAGES) for plan in plans]
    fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
    left = [0.0] * len(plans)
    for stage, hatch in zip(STAGES, HATCHES, strict=True):
        seconds = [plan[f"{stage}_s"] for plan in plans]
        ax.barh(list(CHANGES), seconds, left=left, label=stage, hatch=hatch, edgecolor="white")
        left = [start + more for start, more in zip(left, seconds, strict=True)]
    for i, total in enumerate(totals):
        ax.text(total, i, f" {total:.2f} s", va="center")
    title = f"Fetching row by row takes {100 * plans[0]['fetch_s'] / totals[0]:.0f} % of an epoch;\n"
    title += f"three changes make it {totals[0] / totals[-1]:.0f} times as fast"
    ax.set(xlabel="seconds an epoch, large data, batches of 4,096", title=title, xlim=(0, max(totals) * 1.12))
    ax.invert_yaxis()
    ax.legend(loc="lower right")
    parts = [
        f"{' '.join(name.split())} {total:.2f} s ("
        + ", ".join(f"{stage} {plan[f'{stage}_s']:.2f}" for stage in STAGES)
        + ")"
        for name, total, plan in zip(CHANGES, totals, plans, strict=True)
    ]
    return save(fig, folder, "stages", f"Seconds of an epoch by stage. {' '.join(title.split())}. {'; '.join(parts)}.")


def search(folder: Path) -> Figure:
    """Draw the validation error of every trial of the search, by model."""
    df = pl.read_csv(BENCHMARKS / "experiments" / "search.csv").filter(pl.col("kind") == "trial")
    best_df = df.group_by("model").agg(pl.len(), pl.col("val_loss").min()).sort("val_loss")
    names = best_df["model"].to_list()
    fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
    ax.plot(df["val_loss"], [names.index(model) for model in df["model"]], "o", fillstyle="none", label="a trial")
    ax.plot(best_df["val_loss"], range(len(names)), "D", label="the best")
    title = f"{best_df['len'][0]} trials each: the lowest error is that of the {names[0]}"
    ax.set(xlabel="validation MSE (stars²)", title=title, yticks=range(len(names)), yticklabels=names)
    ax.margins(y=0.12)
    ax.invert_yaxis()
    ax.legend()
    bests = ", ".join(f"{model} {loss:.3f}" for model, loss in best_df.select("model", "val_loss").iter_rows())
    return save(fig, folder, "search", f"Validation MSE in stars² of every trial. {title}. The best: {bests}.")


def readme() -> str:
    """Give the text that the benchmarks are explained in."""
    return (BENCHMARKS / "README.md").read_text(encoding="utf-8")


def save(fig, folder: Path, name: str, alt: str) -> Figure:
    """Write a figure beside the page."""
    fig.savefig(folder / f"{name}.png", dpi=110)
    plt.close(fig)
    return Figure(f"{name}.png", alt)


FIGURES = {  # of each script
    "bench_epoch.py": [epochs],
    "bench_stages.py": [stages],
    "bench_peers.py": [partial(peers, dataset=dataset, movies=movies) for dataset, movies in PEERS],
    "search.py": [search],
}
