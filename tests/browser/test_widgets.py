"""Every widget on a page without a kernel: it moves, says what Python says, asks nobody for anything, and all can use it."""

import random
from functools import partial
from itertools import pairwise

import pytest

from conftest import OUTSIDE, WIDGETS, as_page, said, state
from utilities.releases import HALF_STARS, Scale
from utilities.widgets import base

SCALES = {"0.5 to 5": HALF_STARS, "-10 to 10": Scale(-10, 10, None), "0 to 100": Scale(0, 100, 1)}
SCALED = ["Shrinkage", "TwoRows", "TwoUsers", "Recommender"]  # the others show nothing that hangs on the ratings' scale
EXAMPLES = {name: kind.example for name, kind in WIDGETS.items() if name not in SCALED}
EXAMPLES |= {f"{name}, {on}": partial(WIDGETS[name].example, scale) for name in SCALED for on, scale in SCALES.items()}


@pytest.fixture(scope="module", params=EXAMPLES)
def widget(request):
    return EXAMPLES[request.param]()


@pytest.fixture(scope="module")
def path(widget, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / f"{widget.name}.html"
    path.write_text(as_page(widget), encoding="utf-8")
    return path


def test_it_says_what_python_says(widget, path, new_page):
    page = new_page(path)
    assert state(page) == widget.state
    assert said(page) == widget.text(widget.state)
    assert page.locator("svg.mlw-picture > *").count() > 3


def change(control, page, draw):
    """Give one control another value by keyboard alone."""
    kind = control.get_attribute("class").split("mlw-")[-1]
    field = control.locator("input, select, button").first
    field.focus()
    if kind == "slider":
        for key in draw.choices(["ArrowRight", "ArrowLeft", "ArrowUp", "PageUp", "Home", "End"], k=3):
            page.keyboard.press(key)
    elif kind == "choice":
        page.keyboard.press(draw.choice(["ArrowDown", "ArrowUp"]))
    elif kind == "search":
        titles = field.evaluate("field => [...field.list.options].map(option => option.value)")
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(draw.choice(titles))
        page.keyboard.press("Enter")
    else:
        page.keyboard.press("Space")


def test_the_keyboard_moves_it_and_for_any_setting_it_says_what_python_says(widget, path, new_page):
    page, draw = new_page(path), random.Random(0)
    controls = page.locator(".mlw-control").all()
    seen = []
    for _ in range(12):
        for control in draw.sample(controls, k=min(2, len(controls))):
            change(control, page, draw)
        seen.append(state(page))
        assert said(page) == widget.text(seen[-1])
    assert sum(a != b for a, b in pairwise(seen)) >= 4


def test_every_control_changes_the_state(widget, path, new_page):
    page, draw = new_page(path), random.Random(1)
    for control in page.locator(".mlw-control").all():
        before, tries = state(page), 0
        while state(page) == before and tries < 8:
            change(control, page, draw)
            tries += 1
        assert state(page) != before, control.inner_text()


def test_a_pointer_moves_it(widget, path, new_page):
    page = new_page(path, viewport={"width": 900, "height": 900})
    handles = page.locator("svg [data-handle]")
    slider = page.locator("input[type=range]").first
    target = handles.first if handles.count() else slider
    box = target.bounding_box()
    before = state(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 45, y - 12, steps=5)
    page.mouse.up()
    assert state(page) != before
    assert said(page) == widget.text(state(page))


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (400, "dark")])
def test_axe_finds_nothing_and_nothing_is_cut_off(path, new_page, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    page = new_page(path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]})
    assert [(v["id"], v["nodes"][0]["html"]) for v in found.response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(OUTSIDE)
    assert outside == []


def test_the_picture_is_small_and_the_text_tells_its_numbers(widget):
    data, metadata = widget._repr_mimebundle_()
    assert 2_000 < len(data["image/png"]) < 130_000
    assert data["text/plain"] == f"{type(widget).__name__.rpartition('.')[-1]}: {widget.text(widget.state)}"
    assert metadata[base.METADATA] == widget.stored()
    assert widget.value is not None


@pytest.fixture
def searched(new_page, tmp_path):
    """Type into the search of a map of `Movie 1` to `Movie 120`; gives the movie that is then shown."""
    widget = WIDGETS["MovieMap"].example()
    path = tmp_path / "movie_map.html"
    path.write_text(as_page(widget), encoding="utf-8")
    page = new_page(path)
    field = page.get_by_label("movie", exact=True)

    def search(text, *keys):
        field.fill("")
        field.focus()
        page.keyboard.type(text)
        for key in keys:
            page.keyboard.press(key)
        return widget.data["titles"][state(page)["movie"]], field.evaluate("field => field.validationMessage")

    return search


@pytest.mark.parametrize(
    ("text", "keys", "found"),
    [
        ("movie 77", [], "Movie 77"),
        ("Movie 3", [], "Movie 12"),  # Movie 30 begins with it
        ("Movie 3", ["Enter"], "Movie 3"),
        ("Movie 3", ["Tab"], "Movie 3"),
        ("99", ["Enter"], "Movie 99"),
        ("ie 4", ["Enter"], "Movie 4"),
        ("ie 4", ["Tab"], "Movie 12"),
    ],
)
def test_a_part_of_a_title_finds_it(searched, text, keys, found):
    assert searched(text, *keys) == (found, "")


def test_a_title_that_nobody_has_is_told_and_can_be_mended(searched):
    assert searched("zzz", "Enter") == ("Movie 12", "no such title")
    assert searched("Movie 50") == ("Movie 50", "")
