"""The reference of the package: each name of `utilities/__init__.pyi` once, under the name a reader writes."""

import ast
import inspect
import re
from functools import cache
from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.utils import unescape
from sphinx import addnodes
from sphinx.domains.python import PyObject
from sphinx.util.inspect import stringify_signature

PACKAGE = Path(__file__).resolve().parent.parent / "utilities"
IMPORT = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)
CALL = re.compile(r"(\w[\w.]*)(?:\(.*\))?")
NOTHING = r"\ "  # before a text that has a colon: napoleon takes what stands before that for a type
SHORT = {  # as the sources write them
    r"\bpolars\.(\w+\.)*": "pl.",
    r"\bnumpy\.(\w+\.)*": "np.",
    r"\b_io\.": "",
    r"\b(torch|pathlib|os|typing|types|collections\.abc|pytorch_lightning|mlflow|matplotlib|utilities)\.(\w+\.)*": "",
}


class Reference:
    """What the pages of the reference ask for; `left` are the public names that none has asked for yet."""

    def __init__(self):
        """Read the names, each with the first sentence of its docstring."""
        self.names = public_names()
        self.left = set(self.names)

    def of(self, module: str) -> str:
        """Give the directives that document the public names of a module, in the order of its source."""
        names = [name for name, (home, _) in self.names.items() if home == module]
        self.left.difference_update(names)
        return "```{eval-rst}\n" + "\n\n".join(map(directive, names)) + "\n```"

    def summary(self, *modules: str) -> str:
        """Give a table of the public names of modules, with links and first sentences."""
        rows = [(name, says) for module in modules for name, (home, says) in self.names.items() if home == module]
        lines = [f"| {{py:obj}}`{name} <utilities.{name}>` | {says} |" for name, says in rows]
        return "\n".join(["| name | what it does |", "| --- | --- |", *lines])

    def check(self) -> None:
        """Refuse to leave a public name out."""
        if self.left:
            homes = sorted({self.names[name][0] for name in self.left})
            raise ValueError(f"no page of the reference has {sorted(self.left)}: ask for reference.of({homes[0]!r})")


@cache
def public_names() -> dict[str, tuple[str, str]]:
    """Give each public name of the package, `widgets.Shrinkage` too, with its module and what it does in a sentence."""
    names = {}
    for module, name in IMPORT.findall((PACKAGE / "__init__.pyi").read_text(encoding="utf-8")):
        if module == ".":
            names |= {f"{name}.{inner}": (name, says) for inner, says in inner_names(name).items()}
        else:
            names[name] = module.removeprefix("."), first_sentences(module.removeprefix("."))[name]
    order = {home: list(first_sentences(home)) for home, _ in names.values()}
    place = {name: order[home].index(name) if name in order[home] else 0 for name, (home, _) in names.items()}
    return dict(sorted(names.items(), key=lambda item: (item[1][0], place[item[0]])))


def inner_names(module: str) -> dict[str, str]:
    """Give the names of a module that is itself a public name: what it imports from its parts, else what it defines."""
    path = PACKAGE / module / "__init__.py"
    if not path.exists():
        return first_sentences(module)
    parts = IMPORT.findall(path.read_text(encoding="utf-8"))
    return {name: first_sentences(part.removeprefix("utilities."))[name] for part, name in parts}


def first_sentences(module: str) -> dict[str, str]:
    """Give the first line of the docstring of each public function and class that a module defines, in its order."""
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    path = path if path.exists() else path.with_suffix("") / "__init__.py"
    defined = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if hasattr(node, "decorator_list")]
    return {node.name: ast.get_docstring(node).splitlines()[0] for node in defined if not node.name.startswith("_")}


def directive(name: str) -> str:
    """Give the directive that documents a public name."""
    inner = name.rpartition(".")[2]
    kind, members = ("class", "\n   :members:") if inner[0].isupper() else ("function", "")
    if name.startswith("widgets."):
        members += " value"
    return f".. auto{kind}:: utilities.{name}{members}"


def skip_overrides(app, what, name, obj, skip, options):
    """Leave out what a class overrides of a base class outside the package, whose documentation says what it is for."""
    function = getattr(obj, "fget", obj)
    owner = getattr(function, "__qualname__", "").partition(".")[0]
    owner = getattr(import_module(function.__module__), owner, None) if getattr(function, "__module__", None) else None
    foreign = [base for base in getattr(owner, "__mro__", ()) if not base.__module__.startswith("utilities")]
    return True if any(name in vars(base) for base in foreign) else None


def shorten_types(app, what, name, obj, options, signature, returns):
    """Write types as the sources do, `pl.DataFrame`, not `polars.dataframe.frame.DataFrame`."""
    if what == "class":
        returns = None
        if "kwargs: t.Any" in (signature or ""):  # a widget's: traitlets hides the real one
            own = inspect.signature(obj.__init__.__get__(object))
            signature = stringify_signature(own, show_return_annotation=False)
    return tuple(text and shortened(text) for text in (signature, returns))


def shortened(text: str) -> str:
    """Write the types of a text as the sources do."""
    for pattern, short in SHORT.items():
        text = re.sub(pattern, short, text)
    return text.replace("~", "")


def shorten_annotation(app, domain, objtype, content):
    """Do so with the type of a property, which autodoc does not ask about."""
    for annotation in content.parent[0].findall(addnodes.desc_annotation):
        for text in list(annotation.findall(nodes.Text)):
            text.parent.replace(text, nodes.Text(shortened(text)))


def mend_docstring(app, what, name, obj, options, lines):
    """Say nothing of how a class without arguments is made, and take what a function returns or a property is as text."""
    made = lines[0] if what == "class" and lines else ""
    if made.startswith("Create new instance of") or (
        made == (inspect.getdoc(obj.__init__) or "").partition("\n")[0] and not inspect.signature(obj).parameters
    ):
        lines.clear()
    if "Returns:" in lines:
        lines.insert(lines.index("Returns:") + 1, f"    {NOTHING}")
    if what == "property" and lines:
        lines.insert(0, NOTHING)


def code(name, rawtext, text, lineno, inliner, options=None, content=()):
    """Show what stands between backticks as code, as a link if it is a name of the package or of the class around it."""
    text = unescape(text)
    literal = nodes.literal(rawtext, text)
    found = CALL.fullmatch(text)
    if not found:
        return [literal], []
    name, context = found[1], inliner.document.settings.env.ref_context
    if name in public_names() and ("_" in name or name[0].isupper()):  # others can be a method of the class
        name = f"utilities.{name}"
    link = addnodes.pending_xref("", literal, refdomain="py", reftype="obj", reftarget=name, refexplicit=True)
    link.attributes |= {part: context.get(part) for part in ("py:module", "py:class")}
    return [link], []


def setup(app):
    """Tell Sphinx."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.add_css_file("reference.css")
    app.add_role("code-or-name", code)
    app.connect("autodoc-skip-member", skip_overrides)
    app.connect("autodoc-process-docstring", mend_docstring, priority=400)  # before napoleon
    app.connect("object-description-transform", shorten_annotation)
    app.connect("autodoc-process-signature", shorten_types)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
