"""Formulas as MathML, which browsers show without a script or a font of ours."""

from docutils import nodes
from latex2mathml import converter


def mathml(formula: str, display: str) -> str:
    """Give a formula as MathML; of aligned rows the converter knows `split`, and `\\sim` is the key `~` to it."""
    formula = formula.replace("{aligned}", "{split}")
    return converter.convert(formula, display=display).replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")


def inline(writer, node):
    """Write a formula in a line of text."""
    writer.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def display(writer, node):
    """Write a formula on a line of its own; one that is wider than the page is scrolled, by keyboard too."""
    formula = mathml(node.astext(), "block")
    writer.body.append(f'<div class="formula" tabindex="0" role="group" aria-label="formula">{formula}</div>')
    raise nodes.SkipNode


def setup(app):
    """Tell Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
