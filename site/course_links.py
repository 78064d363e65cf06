"""Links that nobody has to write: where a page first uses a term, to the glossary; from code to what it names."""

import re
from pathlib import Path

import sources
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

CLOSED = (nodes.reference, addnodes.pending_xref, nodes.literal, nodes.term, nodes.raw, nodes.math)
NAME = re.compile(r"utilities(\.\w+)+")
NOT_LINKED = ("glossary", "index", "map", "bibliography", "licences")
ONLY_NAMES = "reference/"


class FirstUses(SphinxTransform):
    """Link what a page uses for the first time: terms of the glossary, and names of the package and of files."""

    default_priority = 400

    def apply(self, **kwargs):
        """Walk the paragraphs of a page."""
        if self.env.docname.startswith(NOT_LINKED):
            return
        only_names = self.env.docname.startswith(ONLY_NAMES)
        terms = {} if only_names else glossary_terms(Path(self.env.srcdir) / "glossary.md")
        pattern, linked = pattern_of(terms), set()
        for paragraph in list(self.document.findall(nodes.paragraph)):
            for text in list(paragraph.findall(nodes.Text)):
                if terms and not any(isinstance(node, CLOSED) for node in ancestors(text, paragraph)):
                    link_terms(text, pattern, terms, linked)
            for literal in list(paragraph.findall(nodes.literal)):
                link_name(literal, linked)
                link_source(literal, linked, self.env)


def glossary_terms(page: Path) -> dict[str, str]:
    """Give the first name of a glossary's entries, by all their names in lower case."""
    body = re.search(r"```\{glossary\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[1]
    terms, entry = {}, None
    for line in body.splitlines():
        is_name = line.strip() and not line.startswith(("  ", ":"))
        entry = (entry or line) if is_name else None
        if is_name:
            terms[line.lower()] = entry
    return terms


def pattern_of(terms: dict[str, str]) -> re.Pattern:
    """Find any of the terms, in the plural too, the longest first."""
    spelled = "|".join(map(re.escape, sorted(terms, key=len, reverse=True)))
    return re.compile(rf"\b({spelled})(?:e?s)?\b", re.IGNORECASE)


def ancestors(node, root):
    """Give the nodes from a node's parent up to another node."""
    while node is not root:
        node = node.parent
        yield node


def link_terms(text, pattern, terms, linked):
    """Replace the first uses of terms in a text by links."""
    parts, end = [], 0
    for match in pattern.finditer(text):
        term = terms[match[1].lower()]
        if term not in linked:
            linked.add(term)
            parts += [nodes.Text(text[end : match.start()]), link("std", "term", term, nodes.inline("", match[0]))]
            end = match.end()
    if parts:
        text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def link_name(literal, linked):
    """Put a link around code that is a name of the package, the first time."""
    found = NAME.match(literal.astext())
    if found and found[0] not in linked and not isinstance(literal.parent, CLOSED):
        linked.add(found[0])
        literal.parent.replace(literal, link("py", "obj", found[0], literal.deepcopy()))


def link_source(literal, linked, env):
    """Put a link around code that is a file of the repository with a page, the first time."""
    file = sources.file_named(literal.astext())
    page = file and sources.page_of(file, Path(env.srcdir))
    if not page or page in {*linked, env.docname} or isinstance(literal.parent, CLOSED):
        return
    linked.add(page)
    if (Path(env.srcdir) / f"{page}.md").exists():
        literal.replace_self(nodes.literal("", "", link("std", "doc", f"/{page}", nodes.inline("", literal.astext()))))


def link(domain, kind, target, content):
    """Give a link that Sphinx resolves."""
    return addnodes.pending_xref(
        "", content, refdomain=domain, reftype=kind, reftarget=target, refexplicit=True, refwarn=True
    )


def setup(app):
    """Tell Sphinx."""
    app.add_transform(FirstUses)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
