"""The built site: links that lead somewhere, names that stand once, pictures with words, nothing superfluous."""

import re
from collections import Counter
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

LINKS = {"href", "src", "action", "poster", "data", "srcset"}


class Page(HTMLParser):
    """What a page of the site consists of: its tags with their attributes, and the words of its title."""

    def __init__(self, path, site):
        super().__init__()
        self.path, self.name, self.tags, self.title = path, path.relative_to(site).as_posix(), [], ""
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "title" and not self.title:
            self.title = data

    @property
    def links(self):
        return [(tag, value) for tag, own in self.tags for name, value in own.items() if name in LINKS and value]

    @cached_property
    def ids(self):
        return Counter(own["id"] for _, own in self.tags if own.get("id"))

    def all(self, tag):
        return [own for name, own in self.tags if name == tag]


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path, site) for path in sorted(site.rglob("*.html"))}


def is_wrong(page, tag, value, pages):
    """Say whether a link leads nowhere, or asks the network without being clicked."""
    link = urlsplit(value)
    if link.scheme in {"http", "https"} or link.netloc:
        return link.scheme != "https" or tag != "a"
    if link.scheme == "data":
        return tag != "img"
    if link.scheme:
        return True
    target = (page.path.parent / unquote(link.path)).resolve() if link.path else page.path
    if not target.is_file():
        return True
    return bool(link.fragment) and target in pages and unquote(link.fragment) not in pages[target].ids


def test_every_link_leads_to_a_file_and_a_place_that_exist_and_to_other_sites_only_when_clicked(pages):
    links = [(page, tag, value) for page in pages.values() for tag, value in page.links]
    assert len(links) > 1_000
    assert [(p.name, tag, v) for p, tag, v in links if is_wrong(p, tag, v, pages)] == []


def test_every_file_that_a_style_sheet_names_exists(site):
    named = [(path, url) for path in site.rglob("*.css") for url in re.findall(r"url\(([^)]+)\)", path.read_text())]
    named = [(path, url.strip("\"'").partition("#")[0].partition("?")[0]) for path, url in named if "data:" not in url]
    assert named
    assert [(path.name, url) for path, url in named if not (path.parent / url).resolve().is_file()] == []


def test_an_id_stands_once_on_a_page_and_a_title_on_one_page(pages):
    assert [(page.name, own) for page in pages.values() for own, n in page.ids.items() if n > 1] == []
    titles = Counter(page.title for page in pages.values())
    assert "" not in titles
    assert [title for title, n in titles.items() if n > 1] == []


def test_every_picture_has_words_that_are_not_the_name_of_its_file(pages):
    pictures = [(page.name, own.get("alt") or "") for page in pages.values() for own in page.all("img")]
    assert len(pictures) > 50
    assert [(page, alt) for page, alt in pictures if len(alt.split()) < 5 or re.search(r"[0-9a-f]{16}", alt)] == []


def test_every_page_has_one_search_box(pages):
    boxes = {page.name: [own.get("name") for own in page.all("input")].count("q") for page in pages.values()}
    assert set(boxes.values()) == {1}, boxes


def test_every_page_begins_with_a_policy_that_allows_no_other_site(pages):
    for page in pages.values():
        (policy,) = [own["content"] for own in page.all("meta") if own.get("http-equiv") == "Content-Security-Policy"]
        assert page.tags[2][1].get("content") == policy  # after html and head, before anything that is loaded
        assert "default-src 'none'" in policy
        assert not re.search(r"https?:|\*|unsafe-eval|script-src[^;]*unsafe-inline", policy)


def test_the_site_is_small_and_ships_no_source_maps(site):
    files = [path for path in site.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 15_000_000
    assert [path.name for path in files if path.suffix == ".map"] == []
    scripts = [path for path in files if path.suffix in {".js", ".css", ".html"}]
    assert [path.name for path in scripts if "sourceMappingURL=" in path.read_text(encoding="utf-8")] == []
    assert not [path for path in files if path.is_relative_to(site / "_sources")]


def test_a_wrong_link_is_found(site, pages):
    page = pages[site / "index.html"]
    right = ["map.html", "glossary.html#term-embedding", "#which-model-should-you-use"]
    wrong = ["no.html", "glossary.html#term-no", "#no", "http://example.org/", "//example.org/", "javascript:0"]
    assert [is_wrong(page, "a", value, pages) for value in right + wrong] == [False] * 3 + [True] * 6
    assert not is_wrong(page, "a", "https://example.org/", pages)
    assert is_wrong(page, "img", "https://example.org/a.png", pages)
    assert is_wrong(page, "a", Path("/etc/hostname").as_uri(), pages)
