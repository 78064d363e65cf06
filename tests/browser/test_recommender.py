"""The recommender on a page: stars by keyboard and by pointer, removing, and reasons."""

import pytest

from conftest import as_page
from utilities.widgets import Recommender


@pytest.fixture
def opened(new_page, tmp_path):
    widget = Recommender.example()
    path = tmp_path / "recommender.html"
    path.write_text(as_page(widget), encoding="utf-8")
    page = new_page(path, viewport={"width": 900, "height": 1000})

    def ratings():
        state = page.evaluate("document.querySelector('main > [id^=mlw-]').model.get('state')")
        assert page.locator(".mlw-text").inner_text() == widget.text(state)
        return dict(state["ratings"])

    return widget, page, ratings


def test_a_movie_that_is_found_takes_stars_from_the_keyboard_at_once(opened):
    widget, page, ratings = opened
    page.get_by_label("add a movie").focus()
    page.keyboard.insert_text(widget.data["titles"][20])
    assert ratings()[20] == 0
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert ratings()[20] == 2
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert 20 not in ratings()
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"


@pytest.mark.parametrize(("place", "stars"), [(0.05, 0.5), (0.36, 2), (0.65, 3.5), (0.97, 5)])
def test_a_click_on_a_star_gives_it(opened, place, stars):
    _, page, ratings = opened
    box = page.locator(".mlw-stars").nth(3).bounding_box()
    page.mouse.click(box["x"] + place * box["width"], box["y"] + box["height"] / 2)
    assert ratings()[9] == stars


def test_a_list_on_show_is_left_when_its_movie_is_rated_and_its_reasons_can_be_asked_for(opened):
    widget, page, ratings = opened
    second = widget.folded(widget.state)["listed"][1]
    page.locator("[data-handle=row-0]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.handle") == "row-1"
    assert f"Why {widget.data['titles'][second]}" in page.locator(".mlw-text").inner_text()
    page.get_by_label("add a movie").focus()
    page.keyboard.insert_text(widget.data["titles"][second])
    page.keyboard.press("End")
    assert ratings()[second] == 5
    rows = page.locator("[data-handle]").evaluate_all("rows => rows.map(row => row.ariaLabel)")
    assert len(rows) == 10
    assert not any(widget.data["titles"][second] in row for row in rows)


def test_it_is_drawn_anew_when_the_page_becomes_narrow(opened):
    _, page, _ = opened
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_function("document.querySelector('svg').getAttribute('viewBox').startsWith('0 0 360')")
