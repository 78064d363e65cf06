"""The site's reference, benchmarks and sources."""

import csv
import html
import inspect
import io
import re
import sys
from pathlib import Path

import pytest

import utilities

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "site"))

import figures  # noqa: E402
import reference  # noqa: E402
import sources  # noqa: E402


@pytest.fixture(scope="session")
def entries(site):
    """Give the heading of each documented name, as text, by its anchor; an anchor that is there twice fails."""
    found = {}
    for page in sorted((site / "reference").glob("*.html")):
        for anchor, head in re.findall(r'<dt class="sig[^>]* id="([^"]+)">(.*?)</dt>', read(page), re.DOTALL):
            assert anchor not in found, f"{anchor} is documented twice"
            found[anchor] = " ".join(text_of(head).split())
    return found


def read(path):
    return path.read_text(encoding="utf-8")


def text_of(markup):
    return html.unescape(re.sub(r"<[^>]+>", "", markup))


def images(page):
    """Give the file and the alt text of each picture of a page."""
    tags = re.findall(r"<img [^>]+>", read(page))
    return [
        (page.parent / re.search(r'src="([^"]+)"', tag)[1], html.unescape(re.search(r'alt="([^"]*)"', tag)[1]))
        for tag in tags
    ]


def public_names():
    modules = [name for name in utilities.__all__ if inspect.ismodule(getattr(utilities, name))]
    inner = [f"widgets.{name}" for name in vars(utilities.widgets) if name[0].isupper()]
    return [name for name in utilities.__all__ if name not in modules] + inner, modules


def test_each_public_name_has_one_anchor(entries, site):
    names, modules = public_names()
    assert len(names) > 50
    assert [name for name in names if f"utilities.{name}" not in entries] == []
    pages = "".join(map(read, (site / "reference").glob("*.html")))
    assert [name for name in modules if pages.count(f'id="module-utilities.{name}"') != 1] == []


def test_each_function_shows_its_parameters_with_their_types(entries):
    for name in utilities.__all__:
        function = getattr(utilities, name)
        if not inspect.isfunction(function):
            continue
        shown = entries[f"utilities.{name}"]
        for parameter in inspect.signature(function).parameters.values():
            expected = parameter.name if parameter.annotation is parameter.empty else f"{parameter.name}: "
            assert expected in shown, f"{name} shows {shown}"
        assert ("→" in shown) == (
            inspect.signature(function).return_annotation not in (None, inspect.Signature.empty)
        ) or ("→ None" in shown)


def test_types_are_written_as_in_the_sources(entries):
    assert "ratings_df: pl.DataFrame" in entries["utilities.get_data_loaders"]
    assert "→ DataLoaders" in entries["utilities.get_data_loaders"]
    assert "train_df: pl.DataFrame" in entries["utilities.widgets.Shrinkage"]
    long = re.compile(r"\b(polars|numpy|torch|pytorch_lightning|collections|pathlib)\.|args: t\.Any")
    assert {name: head for name, head in entries.items() if long.search(head)} == {}


def test_what_a_model_inherits_from_lightning_is_not_listed(entries):
    methods = {name for name in entries if name.startswith("utilities.RatingModel.")}
    assert methods == {"utilities.RatingModel.penalty", "utilities.RatingModel.mse"}


def test_text_with_a_colon_is_not_taken_for_a_type(site):
    pages = text_of("".join(map(read, sorted((site / "reference").glob("*.html")))))
    assert "Return type" not in pages
    assert "Type:" not in pages
    assert "One row per rating, sorted by user, time and movie: " in pages
    assert "The edges of a histogram’s bins: one bin a step" in pages


def test_code_in_docstrings_is_shown_as_it_is_written_and_linked_where_it_is_a_name(site):
    training = read(site / "reference" / "training.html")
    assert "as best_<metric>, the lowest" in text_of(training)
    assert "holds no .json file" in text_of(read(site / "reference" / "exercises.html"))
    assert re.search(r'href="#utilities\.mlflow_logger"[^>]*><code[^>]*><span class="pre">mlflow_logger\(…\)', training)
    assert re.search(r'href="#utilities\.tracking\.BatchedMLFlowLogger\.flush"', training)


def test_a_public_name_without_a_page_is_refused():
    names = reference.Reference()
    for home in {home for home, _ in names.names.values()} - {"splits"}:
        names.of(home)
    with pytest.raises(ValueError, match=r"\['split_train_test'\].*reference.of\('splits'\)"):
        names.check()
    names.of("splits")
    names.check()


def test_names_in_the_prose_lead_to_the_reference(site):
    page = read(site / "notebooks" / "01_data_exploration.html")
    assert re.search(r'href="\.\./reference/data\.html#utilities\.map_users_and_movies"', page)


def test_a_name_or_a_file_that_is_not_there_is_told(tmp_path):
    from sphinx.application import Sphinx

    (tmp_path / "glossary.md").write_text("# Glossary\n\n```{glossary}\nepoch\n  A pass.\n```\n", encoding="utf-8")
    (tmp_path / "index.md").write_text("# Index\n\n```{toctree}\nglossary\npage\n```\n", encoding="utf-8")
    (tmp_path / "page.md").write_text("# Page\n\nHere `utilities.no_such_name(1)` stands.\n", encoding="utf-8")
    told = io.StringIO()
    app = Sphinx(
        tmp_path,
        None,
        tmp_path / "out",
        tmp_path / "trees",
        "html",
        confoverrides={"extensions": ["myst_parser", "course_links"]},
        status=None,
        warning=told,
    )
    app.build()
    assert "py:obj reference target not found: utilities.no_such_name" in told.getvalue()


def test_each_figure_is_small_and_says_its_message_in_numbers(site):
    found = images(site / "benchmarks.html")
    assert len(found) == sum(map(len, figures.FIGURES.values()))
    for path, alt in found:
        assert path.stat().st_size < 100_000
        assert len(re.findall(r"\d+\.\d+", alt)) >= 4, alt


def test_every_row_of_the_table_of_peers_is_in_a_figure_and_on_the_page(site):
    alts = " ".join(alt for _, alt in images(site / "benchmarks.html"))
    page = text_of(read(site / "benchmarks.html"))
    with (ROOT / "benchmarks" / "peers.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        by = ", two threads" if row["threads"] == "2" else ""
        assert f"{row['model']}{by} {float(row['test_mse']):.3f} in " in alts
        assert re.search(r"\s+".join(re.escape(value) for value in row.values()), page), row


def test_the_figure_of_an_epoch_says_what_the_text_says(site):
    alt = next(alt for _, alt in images(site / "benchmarks.html") if alt.startswith("Seconds of an epoch, on"))
    faster, slower = re.search(r"(\d+) times as fast as the reference's way, ([\d.]+) times a bare loop", alt).groups()
    assert f"{faster} times as fast as the reference’s way and takes {slower} times" in text_of(
        read(site / "benchmarks.html")
    )


def test_a_mentioned_script_has_a_page_that_shows_it_and_leads_back(site):
    notebook = read(site / "notebooks" / "03_concat_bias.html")
    assert 'href="../sources/benchmarks/experiments/search.py.html"' in notebook
    page = read(site / "sources" / "benchmarks" / "experiments" / "search.py.html")
    assert (ROOT / "benchmarks" / "experiments" / "search.py").read_text(encoding="utf-8").strip() in text_of(page)
    assert 'href="../../../notebooks/03_concat_bias.html"' in page
    assert 'href="search.csv.html"' in page


def test_code_that_names_a_file_is_told_from_other_code():
    assert sources.file_named("search.py") == "benchmarks/experiments/search.py"
    assert sources.file_named("python benchmarks/bench_stages.py") == "benchmarks/bench_stages.py"
    assert sources.file_named("benchmarks/") == "benchmarks"
    assert [sources.file_named(text) for text in ("train.py", "__init__.py", "benchmarks", "x.csv", "README.md")] == [
        None
    ] * 5
