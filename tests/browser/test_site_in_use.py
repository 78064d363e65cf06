"""The site as readers have it: by eye, by ear, by keyboard, on paper, from a folder and from a server."""

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import axe_playwright_python
import nbformat
import pytest

from conftest import REPOSITORY
from utilities.widgets import base

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
# Of text that has the same tags and classes around it axe sees one: contrast is all that takes long.
RUN_AXE = """([structure, contrast]) => {
  const alike = new Map(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const kind = (e) => e ? `${kind(e.parentElement)}>${e.tagName}.${e.className}.${e.getAttribute("style")}` : "";
  while (texts.nextNode()) {
    const own = texts.currentNode.parentElement;
    if (texts.currentNode.data.trim() && own.checkVisibility()) alike.set(kind(own), own);
  }
  const told = (found) => found.violations.flatMap(({ id, nodes }) => nodes.map((node) => [id, node.html.slice(0, 200)]));
  const run = (where, options) => axe.run(where, { resultTypes: ["violations"], preload: false, ...options }).then(told);
  const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
  window.found = Promise.all(document.getAnimations().map((moving) => moving.finished)).then(() => []);
  const add = (where, options) => {
    window.found = window.found.then(async (found) => [...found, ...await run(where, options)]);
  };
  if (structure) add(document, { runOnly: rules, rules: { "color-contrast": { enabled: false } } });
  if (contrast) add({ include: [...alike.values()] }, { runOnly: ["color-contrast"] });
}"""
MODES = {
    "light": ("light", 1300, [True, True]),
    "dark": ("dark", 1300, [False, True]),
    "narrow": ("light", 400, [True, False]),
}
NOTEBOOK, SHEET = "notebooks/02_inner_product.html", "exercises/02_inner_product.html"
KINDS = ["index.html", NOTEBOOK, SHEET, "search.html", "reference/training.html", "ledger.html", "benchmarks.html"]
# What the keyboard has to reach: what is shown, can be used and is not one of a group that arrows go through.
STOPS = """() => {
  const kinds = "a[href], button, summary, input, select, textarea, [tabindex]";
  window.used = (e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({ visibilityProperty: true });
  window.stops = [...document.querySelectorAll(kinds)].filter(window.used);
  return window.stops.length;
}"""
MISSED = """(reached) => window.stops
  .filter((e, i) => !reached.includes(i) && window.used(e)) // the contents of a page fold as it is scrolled
  .map((e) => e.outerHTML.slice(0, 120))"""
FOCUSED = """async () => {
  await Promise.all(document.getAnimations().map((moving) => moving.finished));  // the skip link slides in
  const own = document.activeElement, style = getComputedStyle(own);
  const marked = [own, own.parentElement, own.firstElementChild].filter(Boolean).map((e) => getComputedStyle(e));
  const seen = marked.some((s) => (s.outlineStyle !== "none" && s.outlineWidth !== "0px") || s.boxShadow !== "none");
  const box = own.getBoundingClientRect();
  return [window.stops.indexOf(own), seen && box.bottom > 0 && box.top < innerHeight, own.outerHTML.slice(0, 120)];
}"""
CUT_OFF = """() => [...document.querySelectorAll(".bd-article *:not(svg *, .mlw *, .visually-hidden)")]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 && !["visible", "clip"].includes(getComputedStyle(e).overflowX))
  .map((e) => e.outerHTML.slice(0, 200))"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and keeps in its server what it was asked for."""

    def log_message(self, *args):
        self.server.asked.append(self.path)


def serve(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/"


@pytest.fixture(scope="module")
def address(site):
    """Serve the site on the loopback: give its address."""
    server, address = serve(site)
    yield address
    server.shutdown()


@pytest.fixture(scope="module")
def names(site):
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))


@pytest.fixture
def open_tab(browser):
    """Give a function that opens a tab, which must raise no error and ask nobody but the site."""
    contexts, wrong = [], []

    def open_tab(root, **options):
        context = browser.new_context(**{"viewport": {"width": 1300, "height": 900}} | options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda error: wrong.append((tab.url, str(error))))
        tab.on("console", lambda m: wrong.append((tab.url, m.text)) if m.type in {"error", "warning"} else None)
        own = (root, "data:")
        tab.on("request", lambda r: None if r.url.startswith(own) else wrong.append((tab.url, r.url)))
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert wrong == []


def thinned(text):
    """Keep one token of code of each kind, the first lines of code, and one formula: the others look alike."""
    seen = set()

    def first(match):
        new = match[1] not in seen
        seen.add(match[1])
        return match[0] if new else match[2]

    def begin(match):
        return "\n".join(line for i, line in enumerate(match[0].split("\n")) if i < 20 or "<" in line)

    text = re.sub(r'<span class="(\w{1,3}|linenos)">([^<]*)</span>', first, text)
    text = re.sub(r"<pre>.*?</pre>", begin, text, flags=re.DOTALL)
    head, formula, rest = text.partition("<math ")
    return head + formula + re.sub(r"<math .*?</math>", "x", rest, flags=re.DOTALL)


def alike(site, names):
    """Give the pages that show a file of code each, but for the longest three of a kind: axe finds the same in all."""
    for folder in ("_modules/", "sources/"):
        of_code = [name for name in names if name.startswith(folder) and not name.endswith("index.html")]
        yield from sorted(of_code, key=lambda name: (site / name).stat().st_size)[:-3]


def test_axe_finds_nothing_on_any_page_light_dark_and_narrow(site, names, open_tab):
    tabs, texts = {}, {}
    for mode, (scheme, width, _) in MODES.items():
        tabs[mode] = open_tab(site.as_uri(), color_scheme=scheme, viewport={"width": width, "height": 900})
        tabs[mode].add_init_script(AXE)
        tabs[mode].route(
            "**/*.html", lambda route: route.fulfill(body=texts[route.request.url], content_type="text/html")
        )
    found, wide, judged = {}, [], set(names) - set(alike(site, names))
    for name in names:
        address = f"{site.as_uri()}/{name}"
        texts[address] = thinned((site / name).read_text("utf-8"))
        for mode, tab in tabs.items():
            tab.goto(address)
            if name in judged:
                tab.evaluate(RUN_AXE, MODES[mode][2])  # all tabs run at once
        for mode, tab in tabs.items() if name in judged else ():
            found |= {tuple(told): (mode, name) for told in tab.evaluate("window.found")}
        wide += [name] if tabs["narrow"].evaluate("document.documentElement.scrollWidth") > 400 else []
    assert found == {}
    assert wide == []


@pytest.mark.parametrize("name", KINDS)
def test_a_page_from_a_server_asks_nobody_else_and_raises_no_error(address, open_tab, name):
    tab = open_tab(address)  # which sees to it; from a file each page has been opened above
    tab.goto(address + name)
    assert tab.title()


@pytest.mark.parametrize("from_file", [True, False])
def test_the_policy_refuses_what_is_foreign(site, address, browser, tmp_path, from_file):
    for name in ("foreign.js", "foreign.png", "foreign.css"):
        (tmp_path / name).write_text("window.ran = true")
    server, foreign = serve(tmp_path)
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(f"{site.as_uri()}/index.html" if from_file else f"{address}index.html")
    refused = tab.evaluate(
        """async (foreign) => {
          const refused = [];
          document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
          const add = (tag, values) => document.head.append(Object.assign(document.createElement(tag), values));
          add("script", { src: foreign + "foreign.js" });
          add("script", { textContent: "window.ran = true" });
          add("img", { src: foreign + "foreign.png" });
          add("link", { rel: "stylesheet", href: foreign + "foreign.css" });
          await fetch(foreign + "foreign.json").catch(() => null);
          await new Promise((done) => setTimeout(done, 300));
          return refused;
        }""",
        foreign,
    )
    assert sorted(refused) == ["connect-src", "img-src", "script-src-elem", "script-src-elem", "style-src-elem"]
    assert tab.evaluate("window.ran") is None
    assert server.asked == []
    context.close()
    server.shutdown()


def word_of_one_page(site, names):
    """Find a word that one notebook has, and no other page even in another form."""
    texts = {name: re.sub(r"(?s)<script.*?</script>|<[^>]+>", " ", (site / name).read_text("utf-8")) for name in names}
    others = " ".join(text.lower() for name, text in texts.items() if name != NOTEBOOK)
    words = sorted(set(re.findall(r"\b[a-z]{9,}\b", texts[NOTEBOOK])))
    return next(word for word in words if word[:6] not in others)


def test_search_finds_a_word_of_one_notebook_by_keyboard_from_a_file(site, names, open_tab):
    word = word_of_one_page(site, names)
    tab = open_tab(site.as_uri())
    tab.goto(f"{site.as_uri()}/index.html")
    tab.keyboard.press("Control+K")
    tab.keyboard.type(word)
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#search-results li a")
    assert tab.locator("#search-results li a").count() == 1
    for _ in range(60):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.closest('#search-results') !== null"):
            break
    with tab.expect_navigation():
        tab.keyboard.press("Enter")
    assert NOTEBOOK in tab.url


@pytest.mark.parametrize("width", [1300, 400])
@pytest.mark.parametrize("name", ["index.html", NOTEBOOK, "search.html", "reference/index.html"])
def test_one_search_box_is_in_sight(site, open_tab, name, width):
    tab = open_tab(site.as_uri(), viewport={"width": width, "height": 900})
    tab.goto(f"{site.as_uri()}/{name}")
    shown = tab.locator("input[type=search]:visible, button[aria-label=Search]:visible")
    assert shown.count() == 1


def stored_widgets(path):
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    return [o.metadata[base.METADATA]["name"] for o in outputs if base.METADATA in o.get("metadata", {})]


WITH_WIDGETS = {
    f"notebooks/{path.stem}.html": found
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
    if (found := stored_widgets(path))
} | {"index.html": ["recommender"]}


@pytest.mark.parametrize("name", WITH_WIDGETS)
def test_the_widgets_of_a_page_move(site, open_tab, name):
    tab = open_tab(site.as_uri())
    tab.goto(f"{site.as_uri()}/{name}")
    for widget in WITH_WIDGETS[name]:
        text = tab.locator(f"#mlw-{widget} .mlw-text")
        before = text.inner_text()
        assert before
        tab.locator(f"#mlw-{widget}").locator("input[type=range], select").first.focus()
        for key in ("ArrowRight", "ArrowDown"):
            if text.inner_text() == before:
                tab.keyboard.press(key)
        assert text.inner_text() != before


def test_a_widget_follows_the_switch_of_the_theme(site, open_tab):
    tab = open_tab(site.as_uri(), color_scheme="light")
    tab.goto(f"{site.as_uri()}/index.html")
    ground = "getComputedStyle(document.querySelector('.mlw')).backgroundColor"
    assert tab.evaluate(ground) == "rgb(255, 255, 255)"
    tab.locator(".theme-switch-button").focus()
    tab.keyboard.press("Enter")
    tab.locator(".theme-change-button[data-mode=dark]").focus()
    tab.keyboard.press("Enter")
    assert tab.evaluate(ground) == "rgb(22, 25, 29)"


def test_without_javascript_a_page_shows_the_picture(site, browser):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{site.as_uri()}/{next(iter(WITH_WIDGETS))}")
    picture = tab.locator("[id^=mlw-] img").first
    assert picture.bounding_box()["width"] > 300
    assert len(picture.get_attribute("alt")) > 30
    context.close()


def test_answers_hints_and_plumbing_unfold_by_keyboard(site, open_tab):
    tab = open_tab(site.as_uri())
    for name, kinds in {NOTEBOOK: ["details.hide", "details:not(.hide)"], SHEET: ["details.hide", "details"]}.items():
        tab.goto(f"{site.as_uri()}/{name}")
        for kind in kinds:
            folded = tab.locator(f".bd-article {kind}").first
            inside = folded.locator("> :not(summary)").first
            assert not inside.is_visible()
            folded.locator("> summary").focus()
            tab.keyboard.press("Enter")
            assert inside.is_visible()
    first, second = (tab.get_by_text(f"Hint {i} of 2").first for i in (1, 2))
    assert first.is_visible() and second.is_visible()  # the second lies in the first, which is open
    first.focus()
    tab.keyboard.press("Space")
    assert not second.is_visible()


@pytest.mark.parametrize("name", ["index.html", "notebooks/03_concat_bias.html", SHEET, "reference/training.html"])
def test_the_keyboard_reaches_everything_in_order_and_is_seen(site, open_tab, name):
    tab = open_tab(site.as_uri())
    tab.goto(f"{site.as_uri()}/{name}")
    stops = tab.evaluate(STOPS)
    assert stops > 40
    reached, unseen = [], []
    for _ in range(2 * stops):
        tab.keyboard.press("Tab")
        number, seen, own = tab.evaluate(FOCUSED)
        if own.startswith("<body") or number in reached:
            break
        reached += [number] if number >= 0 else []
        unseen += [] if seen else [own]
    assert tab.evaluate(MISSED, reached) == []
    assert reached == sorted(reached)
    assert unseen == []


@pytest.mark.parametrize("name", [NOTEBOOK, "notebooks/06_recommending.html", SHEET])
def test_paper_has_all_of_a_page_and_nothing_besides(site, open_tab, name):
    tab = open_tab(
        site.as_uri(), color_scheme="dark", viewport={"width": 680, "height": 1000}
    )  # A4, inside its margins
    tab.goto(f"{site.as_uri()}/{name}")
    tab.emulate_media(media="print")
    assert tab.evaluate(CUT_OFF) == []
    assert (
        tab.locator(".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article").evaluate_all(
            "parts => parts.filter((part) => part.checkVisibility()).length"
        )
        == 0
    )
    texts = tab.locator(".bd-article :is(p, pre, li, td)")
    assert texts.count() > 40
    hidden = "texts => texts.filter((e) => !e.checkVisibility({ contentVisibilityAuto: true })).map((e) => e.outerHTML)"
    folded = texts.evaluate_all(hidden)
    assert [text for text in folded if "collapsed" not in text and "expanded" not in text] == []
    look = "(all, name) => [...new Set(all.map((e) => getComputedStyle(e)[name]))]"
    texts = tab.locator(".bd-main :is(p, li, code, h1, a):not(.mlw *)")
    assert texts.evaluate_all(look, "color") == ["rgb(0, 0, 0)"]
    assert tab.locator(".bd-article, .bd-article img").evaluate_all(look, "filter") == ["none"]
    assert tab.pdf(format="A4").count(b"/Type /Page\n") > 3
