"""The look of the figures, and the one figure that several notebooks draw."""

from itertools import cycle

import matplotlib.pyplot as plt
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes

from utilities.datasets import rating_scale

MARKERS = "os^Dv*P"
BAR_STYLES = (":", "-.", (0, (1, 4)), (0, (6, 1, 1, 1, 1, 1)))


def set_plot_style() -> None:
    """Use the series' style: a light grid, a palette that the colour-blind can tell apart, 96 dots per inch."""
    sns.set_theme(style="whitegrid", palette="colorblind", rc={"figure.figsize": (8, 4), "figure.dpi": 96})


def plot_learning_curves(logs_df: pl.DataFrame, ax: Axes | None = None, **bars: float) -> Axes:
    """Draw training (dashed) and validation loss by epoch, each run with its colour and marker.

    Args:
        logs_df: What `training_logs_to_df` gives, for one run or, with a column `name`, several.
        ax: Where to draw; a new figure unless given.
        bars: Losses to draw as horizontal lines, by label, for example `mean=1.02`; underscores become spaces.

    Returns:
        The axes, with labels and a legend but without a title.
    """
    ax = plt.subplots()[1] if ax is None else ax
    names = logs_df["name"].unique(maintain_order=True).to_list() if "name" in logs_df.columns else [None]
    for color, marker, name in zip(sns.color_palette(n_colors=len(names)), cycle(MARKERS), names, strict=False):
        run_df = logs_df if name is None else logs_df.filter(pl.col("name") == name)
        for dataset, style in (("train_loss", "--"), ("val_loss", "-")):
            df = run_df.filter(pl.col("dataset") == dataset)
            label = " ".join(filter(None, [name, {"train_loss": "training", "val_loss": "validation"}[dataset]]))
            ax.plot(df["epoch"], df["loss"], style, marker=marker, markersize=4, color=color, label=label)
    for style, (label, loss) in zip(cycle(BAR_STYLES), bars.items(), strict=False):
        ax.axhline(loss, color="dimgray", linestyle=style, label=label.replace("_", " "))
    ax.set(xlabel="epoch", ylabel=f"mean squared error ({rating_scale().unit}²)")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax
