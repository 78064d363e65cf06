"""What a file of ratings holds and what the series will make of it, without training: `python -m utilities.inspect PATH`."""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from utilities.claims import claims_in
from utilities.datasets import scan_ratings
from utilities.frames import get_most_frequent_movies
from utilities.releases import BASICS
from utilities.scales import describe_scale
from utilities.settings import Settings, in_repository, settings, shown

VARIABLES = (
    "MOVIELENS_COLUMNS",
    "MOVIELENS_SCALE",
    "MOVIELENS_NOT_RATED",
    "MOVIELENS_TITLES",
    "MOVIELENS_TOP_MOVIES",
    "MOVIELENS_SAMPLE",
)
# Rough: the run times that the notebooks give for the built-in sample and ml-25m, the largest process of a run with a
# CUDA build of torch (1.8 GB, and 2.9 GB with its workers), and the slope of bench_ml25m.py.
MINUTES, MINUTES_A_MILLION, LONG = 7, 20, 60
MEGABYTES, MEGABYTES_A_MILLION = 2000, 90


def describe(dataset: str) -> str:
    """Say in lines what a dataset holds, what will be skipped, what a run may take, and what to type next.

    Args:
        dataset: Name of a release or path of a file.

    Raises:
        ValueError: As `load_ratings`.
        OSError: As `load_ratings`.
    """
    config = settings(dataset)
    ratings = scan_ratings(dataset)
    n, n_users, n_items, first, last = (
        ratings.select(
            pl.len(),
            pl.col("userId").n_unique().alias("users"),
            pl.col("movieId").n_unique().alias("items"),
            pl.col("timestamp").min().alias("first"),
            pl.col("timestamp").max().alias("last"),
        )
        .collect(engine="streaming")
        .row(0)
    )
    top_df = get_most_frequent_movies(ratings.select("movieId").collect(), config.top_movies)
    n_kept = ratings.join(top_df.lazy(), on="movieId", how="semi").select(pl.len()).collect(engine="streaming").item()
    lines = {
        "dataset": shown(config.dataset),
        "scale": describe_scale(*config.release.scale),
        **config.release.notes,
        "ratings": f"{n:,} by {n_users:,} users of {n_items:,} items",
        "density": f"{n / n_users / n_items:.2%} of all pairs of user and item",
        "per user": _spread(ratings, "userId"),
        "per item": _spread(ratings, "movieId"),
        "times": _span(first, last) if first is not None else "none",
        "kept": f"{n_kept:,} ratings of the {top_df.height:,} most-rated items (MOVIELENS_TOP_MOVIES)",
    }
    minutes = MINUTES + MINUTES_A_MILLION * n_kept / 1e6
    lines["estimate"] = (
        f"some {minutes:.0f} minutes on two cores for all notebooks, and "
        f"{(MEGABYTES + MEGABYTES_A_MILLION * n / 1e6) / 1000:.1f} GB of memory, half as much again with the workers; rough"
    )
    if minutes > LONG:
        lines["quicker"] = "MOVIELENS_SAMPLE=1000000 keeps so many ratings, those of whole users"
    width = max(map(len, lines))
    said = [f"{name:<{width}}  {value}" for name, value in lines.items()]
    return "\n".join([*said, "", *_skipped(config), *_claims(config), f"Next: {_command(config)}"])


def _spread(ratings: pl.LazyFrame, column: str) -> str:
    counts = ratings.group_by(column).len().collect(engine="streaming")["len"]
    return f"{counts.min():,} at the fewest, {counts.median():,.0f} in the middle, {counts.max():,} at the most"


def _span(first: int, last: int) -> str:
    days = pl.Series([first, last]).cast(pl.Int64) * 1_000_000
    return " to ".join(days.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%d"))


def _skipped(config: Settings) -> Iterator[str]:
    """Name the sections that ask for what the dataset lacks, as the notebooks do: `utilities.needs("…")`."""
    notebooks = _notebooks(config)
    for what in sorted(BASICS - config.release.has) if notebooks else ():
        found = [f"{path.stem[:2]} {section}" for path in notebooks for section in _sections(path, what)]
        skipped = f"skipped, in whole or in part: {'; '.join(found)}"
        yield f"No {what}: {skipped if found else 'no section asks for them'}"
    if "titles" not in config.release.has:
        yield "The ids stand for titles; MOVIELENS_TITLES names a file with ids, titles, years and genres"


def _claims(config: Settings) -> Iterator[str]:
    """Count the claims that other data cannot try, those that rest on stored experiments: `claim(…, of_sample=True)`."""
    if config.on_the_sample or not (notebooks := _notebooks(config)):
        return
    cells = [cell for path in notebooks for cell in _cells(path) if cell["cell_type"] == "code"]
    n_of_sample = sum("".join(cell["source"]).count("of_sample=True") for cell in cells)
    printed = ("".join(output.get("text", "")) for cell in cells for output in cell["outputs"])
    n = sum(len(claims_in(text)) for text in printed)
    yield f"{n_of_sample} of the {n} claims rest on experiments with the built-in sample: not tried on this data (○)"


def _notebooks(config: Settings) -> list[Path]:
    """List the notebooks; an installed wheel has none."""
    return sorted((config.root / "notebooks").glob("0*.ipynb"))


def _cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def _sections(path: Path, what: str) -> list[str]:
    """Name the sections of a notebook with a cell that asks for it."""
    section, found = "", []
    for cell in _cells(path):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            headings = [line.lstrip("# ") for line in source.splitlines() if line.startswith("#")]
            section = headings[-1] if headings else section
        elif f'needs("{what}")' in source and section not in found:
            found.append(section)
    return found


def _command(config: Settings) -> str:
    """Give the command that runs the series on this dataset, with the settings that are set."""
    path = Path(config.dataset)
    dataset = path.relative_to(config.root) if path.is_relative_to(config.root) else config.dataset
    said = {"MOVIELENS_DATASET": str(dataset)} | {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in said.items()) + " make run"


def main(arguments: list[str]) -> None:
    """Describe the file that is named, or say what is wrong with it."""
    if len(arguments) != 1 or not arguments[0]:
        sys.exit("name a file of ratings: make inspect DATA=path/to/ratings.csv")
    dataset = arguments[0]
    if not in_repository(dataset).exists() and Path(dataset).exists():
        dataset = str(Path(dataset).resolve())
    try:
        print(describe(dataset))
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
