"""Widgets on ratings of one's own: few, in points, of items whose titles are missing, ids, alike, wide, or very long."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from conftest import OUTSIDE, as_page, said, state
from utilities.releases import Scale
from utilities.widgets import MovieMap, Recommender, Shrinkage, TwoUsers

N_USERS, N_ITEMS, SCALE = 30, 20, Scale(0, 100, None)
LONG = "The Long and Rather Improbable Title of a Book That Nobody Has Finished, Volume"
TITLES = [
    None,
    "0345417623",
    "0345417623",
    "図書館と長い題名" * 8,
    "AN ALL-CAPITAL TITLE " * 5,
    *(f"{LONG} {i}" for i in range(N_ITEMS - 5)),
]
USERS = [f"A{user:013d}" for user in range(N_USERS)]
MOVIES_DF = pl.DataFrame(
    {"movieId": range(N_ITEMS), "title": TITLES, "year": pl.Series([None] * N_ITEMS, dtype=pl.Int64)}
)


def shrinkage(draw):
    user, item = np.nonzero(draw.random((N_USERS, N_ITEMS)) < 0.4)
    ratings = draw.uniform(0, 100, len(user))
    train_df = pl.DataFrame({"userId": [USERS[u] for u in user], "movieId": item, "rating": ratings})
    return Shrinkage(train_df, MOVIES_DF, {0: (395.1, 592.6), 4: (420.1, 580.2), 64: (512.5, 501.3)}, SCALE)


def two_users(draw):
    linear = draw.normal(50, 12, (N_USERS, 1)) + draw.normal(0, 9, N_ITEMS)
    return TwoUsers(USERS, TITLES, linear, linear + draw.normal(0, 5, linear.shape), SCALE)


def movie_map(draw):
    rows, noise = draw.normal(size=(2, N_ITEMS, 4))
    return MovieMap(TITLES, rows, rows + noise / 4, draw.random((N_ITEMS, N_USERS)) < 0.4)


def recommender(draw):
    inputs = np.hstack([draw.normal(size=(N_ITEMS, 4)), np.ones((N_ITEMS, 1))])
    rows = draw.normal(0, 10, (N_USERS, 5))
    known = SimpleNamespace(base=draw.normal(60, 8, N_ITEMS), inputs=inputs, rows=rows, noise=400.0)
    return Recommender(known, range(N_ITEMS), MOVIES_DF, SCALE, asked=(0, 1, 3, 7), stars=(0, 100, 12.5, None))


@pytest.mark.parametrize("make", [shrinkage, two_users, movie_map, recommender])
@pytest.mark.parametrize("width", [900, 400])
def test_a_widget_holds_few_ratings_and_odd_titles(make, width, new_page, tmp_path):
    widget = make(np.random.default_rng(0))
    path = tmp_path / "page.html"
    path.write_text(as_page(widget), encoding="utf-8")
    page = new_page(path, viewport={"width": width, "height": 1000})
    for key in ("ArrowRight", "ArrowDown"):
        page.locator(".mlw select, .mlw input[type=range]").first.focus()
        page.keyboard.press(key)
        assert said(page) == widget.text(state(page))
        assert page.evaluate(OUTSIDE) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "NaN" not in page.locator(".mlw").inner_html()
    titles = widget.data.get("titles") or widget.data["movies"]
    assert len(set(titles)) == N_ITEMS
    assert widget._repr_mimebundle_()[0]["image/png"]
