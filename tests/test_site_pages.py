"""What the hand-written pages of the site take from the repository, and the links that nobody has to write."""

import re
import sys
from pathlib import Path

import jinja2
import pytest

SITE = Path(__file__).resolve().parent.parent / "site"
sys.path.insert(0, str(SITE))

pytest.importorskip("sphinx", reason="the site's packages are not installed: the extra `site`")

import course_links  # noqa: E402
import pages_context  # noqa: E402
import staging  # noqa: E402


@pytest.fixture
def context(tmp_path):
    return pages_context.Context(
        tmp_path, [staging.Notebook(p) for p in sorted((SITE.parent / "notebooks").glob("*.ipynb"))]
    )


@pytest.fixture
def executed_on(tmp_path):
    """Give a function that gives the notebooks as if they had been executed on another dataset, whose settings it takes."""

    def executed_on(dataset):
        (tmp_path / "executed").mkdir()
        for path in sorted((SITE.parent / "notebooks").glob("0*.ipynb")):
            text = path.read_text(encoding="utf-8").replace('"dataset     built-in\\n"', f'"dataset     {dataset}\\n"')
            (tmp_path / "executed" / path.name).write_text(text, encoding="utf-8")
        return [staging.Notebook(path) for path in sorted((tmp_path / "executed").iterdir())]

    return executed_on


def index_of(notebooks: list, folder: Path) -> str:
    return staging.PAGES.get_template("index.md").render(staging.names_of_pages(folder, notebooks))


def test_the_landing_page_shows_the_samples_results_where_the_pages_are_of_the_sample(context, tmp_path):
    page = index_of([*context.notebooks.values()], tmp_path)
    assert "\n| inner product | 5,852 |" in page
    assert "Beside published libraries" in page
    assert "figures/05-14-d8e44d.png" in page
    assert "The advice is from" not in page


@pytest.mark.parametrize("dataset", ["my.csv", "ml-25m", r"built-in\nprose       and titles of figures"])
def test_the_landing_page_shows_no_results_of_the_sample_beside_those_of_other_ratings(executed_on, tmp_path, dataset):
    notebooks = executed_on(dataset)
    page = index_of(notebooks, tmp_path)
    name = dataset.partition("\\")[0]
    assert (
        f"these pages ({name}) is in their\n[ledger](ledger.md), where a ✗ speaks against it and a ○ leaves it open."
        in page
    )
    assert "figures/05-14-d8e44d.png" in page
    assert ":alt: On the built-in sample: Test MSE of ten models" in page
    assert "| inner product | 5,852 |" not in page
    assert "Beside published libraries" not in page
    assert re.findall("^## .*", page, re.MULTILINE) == re.findall(
        "^## .*", (SITE / "pages" / "index.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    alts = [
        cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        for cell in staging.staged_notebook(notebooks[4]).cells
    ]
    assert any(alt.startswith("On the built-in sample: Test MSE of ten models") for alt in alts)


@pytest.mark.parametrize(
    ("dataset", "page", "is_of_grouplens"),
    [
        ("built-in", "notebooks/01_data_exploration", True),
        ("ml-25m", "notebooks/01_data_exploration", True),
        ("my.csv", "notebooks/01_data_exploration", False),
        ("my.csv", "index", False),
        ("my.csv", "exercises/01_data_exploration", True),  # which is of the sample whatever the data
    ],
)
def test_the_footer_names_grouplens_where_the_ratings_of_a_page_are_theirs(executed_on, dataset, page, is_of_grouplens):
    options = staging.said_of_ratings(executed_on(dataset))
    said = dict(option.split("=") for option in options[1::2])
    template = jinja2.Template((SITE / "templates" / "copyright.html").read_text(encoding="utf-8"))
    footer = template.render(copyright="MIT licence", pagename=page, **said)
    assert footer.endswith(".</p>")
    assert ("MIT licence; the ratings come from GroupLens Research" in footer) == is_of_grouplens
    assert set(options[::2]) <= {"-A"}


def test_a_claim_that_a_run_has_skipped_was_not_tried(context, tmp_path):
    committed = context.notebooks["01"]
    skipped = committed.claims[0]
    path = tmp_path / committed.path.name
    text = committed.path.read_text(encoding="utf-8")
    path.write_text(text.replace(f"✓ {skipped.sentence}", f"skipped: {skipped.section}"), encoding="utf-8")
    assert committed.skipped == []
    assert staging.Notebook(path).skipped == [staging.replace(skipped, holds=None)]


def test_a_link_leads_to_a_section_that_exists(context):
    assert (
        context.at("01", "λ in your hand")
        == "[01 · λ in your hand](notebooks/01_data_exploration.ipynb#λ-in-your-hand)"
    )
    with pytest.raises(ValueError, match="notebook 01 has no section 'λ in your foot'"):
        context.at("01", "λ in your foot")


def test_the_table_of_symbols_links_each_notebook_that_it_names(context):
    head, _, *rows = context.notation().splitlines()
    assert head == "| symbol | meaning | first in |"
    (row,) = (row for row in rows if row.startswith("| $x_i$, $z_u$"))
    assert row.endswith("| [05](notebooks/05_which_model.ipynb), [06](notebooks/06_recommending.ipynb) |")
    assert all("](notebooks/" in row and row.count("|") == head.count("|") for row in rows)


def test_a_figure_is_written_beside_the_pages_with_its_alt_text(context):
    assert ":alt: Test MSE of ten models" in context.figure("05", "14-d8e44d")
    assert (context.folder / "figures" / "05-14-d8e44d.png").read_bytes().startswith(b"\x89PNG")
    assert context.figure("05", "01-6f72ad") == ""  # a cell without a picture


def test_the_tree_hangs_each_notebook_under_the_deepest_of_those_it_builds_on(context):
    def drawn(pairs):
        return {notebook.number: drawn(below) for notebook, below in pairs}

    assert drawn(context.roots()) == {"01": {"02": {"03": {"05": {}, "06": {"07": {}}}, "04": {"08": {}}}}}


def test_the_links_of_a_text_start_at_the_repository():
    text = "[solved](solved), [the code](../utilities/rows.py), [us](https://example.org) and [here](#here)"
    assert pages_context.rebased(text, "exercises") == (
        "[solved](exercises/solved), [the code](utilities/rows.py), [us](https://example.org) and [here](#here)"
    )


def test_a_part_that_a_file_no_longer_has_is_refused():
    assert staging.part_of("README.md", "# The MovieLens notebook ", "\n") == "course"
    for start, end in (("## No such heading", None), ("# The MovieLens", "## No such heading")):
        with pytest.raises(ValueError, match=r"README.md has no part from .* a page asks for it"):
            staging.part_of("README.md", start, end)


def test_names_of_one_entry_of_the_glossary_count_as_one(tmp_path):
    (tmp_path / "glossary.md").write_text(
        "```{glossary}\n:sorted:\n\nSGD\ndescent\n  Downhill.\n\nbias\n  A number.\n```\n", encoding="utf-8"
    )
    terms = course_links.glossary_terms(tmp_path / "glossary.md")
    assert terms == {"sgd": "SGD", "descent": "SGD", "bias": "bias"}
    assert [match[0] for match in course_links.pattern_of(terms).finditer("Biases; a descent, antibias, biased")] == [
        "Biases",
        "descent",
    ]


def test_every_licence_that_the_site_ships_is_there_in_full():
    for project in pages_context.shipped():
        assert project["licence"] and "copyright" in project["text"].lower() and len(project["text"]) > 1000, project[
            "name"
        ]
    assert pages_context.notices().startswith("Bootstrap v") and "Fonts: SIL OFL 1.1" in pages_context.notices()
