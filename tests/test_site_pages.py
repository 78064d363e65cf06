"""What the hand-written pages of the site take from the repository, and the links that nobody has to write."""

import sys
from pathlib import Path

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
