"""The recommender on a page: stars and points by keyboard and by pointer, removing, and reasons."""

import pytest

from conftest import as_page, said, state
from utilities.releases import HALF_STARS, WHOLE_STARS, Scale
from utilities.widgets import Recommender


@pytest.fixture
def opened(new_page, tmp_path, request):
    widget = Recommender.example(getattr(request, "param", HALF_STARS))
    path = tmp_path / "recommender.html"
    path.write_text(as_page(widget), encoding="utf-8")
    page = new_page(path, viewport={"width": 900, "height": 1000})

    def ratings():
        assert said(page) == widget.text(state(page))
        return dict(state(page)["ratings"])

    return widget, page, ratings


def test_a_movie_that_is_found_takes_stars_from_the_keyboard_at_once(opened):
    widget, page, ratings = opened
    page.get_by_label("add a movie").focus()
    page.keyboard.insert_text(widget.data["titles"][20])
    assert ratings()[20] is None
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert ratings()[20] == 2
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert 20 not in ratings()
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"


@pytest.mark.parametrize(
    ("opened", "place", "stars"),
    [(HALF_STARS, place, stars) for place, stars in ((0.05, 0.5), (0.36, 2), (0.65, 3.5), (0.97, 5))]
    + [(WHOLE_STARS, place, stars) for place, stars in ((0.05, 1), (0.25, 2), (0.65, 4), (0.97, 5))]
    + [(Scale(0, 5, 0.5), place, stars) for place, stars in ((0.05, 0.5), (0.36, 2), (0.97, 5))],
    indirect=["opened"],
)
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
    assert f"Why {widget.data['titles'][second]}" in said(page)
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


@pytest.mark.parametrize(
    ("opened", "keys", "points", "spoken"),
    [
        (Scale(-10, 10, None), ["ArrowRight"], -10, "−10.0 points"),
        (Scale(-10, 10, None), ["ArrowRight"] * 3, -9.6, "−9.6 points"),
        (Scale(-10, 10, 1), ["End", "ArrowLeft"], 9, "9 points"),
        (Scale(0, 100, 1), ["ArrowRight"], 0, "0 points"),
        (Scale(0, 100, 1), ["End"], 100, "100 points"),
        (Scale(0, 100, 1), ["End", "Home"], None, "no points given"),
        (Scale(1, 10, 1), ["ArrowRight"] * 7, 7, "7 points"),
        (Scale(1, 5, None), ["End"], 5, "5.00 stars"),
    ],
    indirect=["opened"],
)
def test_on_another_scale_a_slider_gives_points_and_the_lowest_is_not_none(opened, keys, points, spoken):
    _, page, ratings = opened
    assert page.locator(".mlw-stars").count() == 0
    slider = page.locator(".mlw-rated input").nth(3)
    slider.focus()
    for key in keys:
        page.keyboard.press(key)
    assert ratings()[9] == points
    assert slider.get_attribute("aria-valuetext") == spoken


@pytest.mark.parametrize("opened", [Scale(-10, 10, 1)], indirect=True)
def test_a_rating_of_0_counts_and_stays_when_points_are_flipped(opened):
    _, page, ratings = opened
    slider = page.locator(".mlw-rated input").nth(3)
    slider.focus()
    for _ in range(11):
        page.keyboard.press("ArrowRight")
    assert ratings()[9] == 0
    assert "4 ratings given" in said(page)
    page.get_by_role("button", name="flip points").click()
    assert ratings() == {3: -10, 14: 6, 15: -6, 9: 0}
    page.get_by_role("button", name="start over").click()
    assert ratings() == {3: None, 14: None, 15: None, 9: None}
