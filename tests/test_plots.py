import matplotlib.pyplot as plt
import polars as pl
import pytest
import seaborn as sns

from utilities import plot_learning_curves, set_plot_style

LOGS_DF = pl.DataFrame(
    {
        "epoch": [1, 1, 2, 2],
        "batch": [9, 9, 19, 19],
        "dataset": ["train_loss", "val_loss"] * 2,
        "loss": [1.0, 1.2, 0.8, 1.1],
    }
)


@pytest.fixture(autouse=True)
def plain_matplotlib():
    with plt.rc_context():
        plt.switch_backend("agg")
        yield
        plt.close("all")


def lines(ax):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.get_lines()}


def test_curves_are_the_logs_by_epoch_and_bars_are_level():
    ax = plot_learning_curves(LOGS_DF, bias_baseline=0.9)
    assert lines(ax) == {
        "training": ([1, 2], [1.0, 0.8]),
        "validation": ([1, 2], [1.2, 1.1]),
        "bias baseline": ([0, 1], [0.9, 0.9]),
    }
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "mean squared error (stars²)")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation", "bias baseline"]


def test_every_bar_is_drawn():
    bars = {f"bar_{i}": 1 + i / 10 for i in range(6)}
    ax = plot_learning_curves(LOGS_DF, **bars)
    levels = {label: line_ys[0] for label, (_, line_ys) in lines(ax).items() if label.startswith("bar")}
    assert levels == {label.replace("_", " "): loss for label, loss in bars.items()}


def test_each_of_several_runs_has_its_colour_and_its_name_in_the_legend():
    ax = plt.subplots()[1]
    runs_df = pl.concat(LOGS_DF.with_columns(name=pl.lit(name)) for name in ("small", "large"))
    assert plot_learning_curves(runs_df, ax) is ax
    assert list(lines(ax)) == ["small training", "small validation", "large training", "large validation"]
    colors = [line.get_color() for line in ax.get_lines()]
    assert colors[0] == colors[1] != colors[2] == colors[3]


def test_lines_are_told_apart_without_their_colour():
    runs_df = pl.concat(LOGS_DF.with_columns(name=pl.lit(f"run {i}")) for i in range(4))
    ax = plot_learning_curves(runs_df, mean=1.0, biases=0.9, best=0.8)
    looks = {(line.get_marker(), str(line._dash_pattern)) for line in ax.get_lines()}
    assert len(looks) == len(ax.get_lines()) == 2 * 4 + 3


def test_the_style_uses_the_colour_blind_palette():
    set_plot_style()
    assert list(sns.color_palette()) == list(sns.color_palette("colorblind"))
