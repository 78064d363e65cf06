"""What the built pages still need: a policy that forbids the network, and nothing that nobody uses."""

import base64
import hashlib
import re
import shutil
from pathlib import Path

UNUSED = (
    "**/*.map",
    "_static/*-macros.html",
    "_static/locales",
    "_static/images/logo_*",
    "_static/scripts/fontawesome*",
    "_sources",
    "objects.inv",
    ".buildinfo",
)
ICON_SCRIPT = re.compile(
    r"<script[^>]*/fontawesome\.js[^>]*></script>\s*"
)  # 1.5 MB for icons that the style sheet has as a font
TOGGLE = '<summary><span class="toctree-toggle"'  # which has no name
SIGNATURE = re.compile(r'<dl>\s*<dd><em class="sig-param">.*?</dl>', re.DOTALL)
# `file:` beside 'self', because on a page opened from a file 'self' is nothing.
SOURCES = {
    "default-src": "'none'",
    "script-src": "'self' file:",
    "style-src": "'self' file: 'unsafe-inline'",
    "font-src": "'self' file:",
    "img-src": "'self' file: data:",
    "form-action": "'self' file:",
    "base-uri": "'none'",
}


def finish(folder: Path) -> None:
    """Remove what no page uses, and give each page its policy."""
    for pattern in UNUSED:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in [*folder.rglob("*.js"), *folder.rglob("*.css")]:
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"/[/*]# sourceMappingURL=\S+( \*/)?", "", text), encoding="utf-8")
    for path in folder.rglob("*.html"):
        page = ICON_SCRIPT.sub("", path.read_text(encoding="utf-8"))
        page = page.replace(TOGGLE, TOGGLE.replace(">", ' aria-label="Pages below">', 1))
        page = SIGNATURE.sub(as_divisions, page)
        if path.is_relative_to(folder / "_modules"):
            page = to_the_reference(page, path)
        path.write_text(page.replace("<head>", f"<head>\n{policy(page)}", 1), encoding="utf-8")


def as_divisions(signature: re.Match) -> str:
    """Write the lines of a long signature, which Sphinx takes for a list of definitions without terms, as lines."""
    lines = signature[0].replace("<dl>", '<div class="sig-params">').replace("</dl>", "</div>")
    return lines.replace("<dd>", "<div>").replace("</dd>", "</div>")


def to_the_reference(page: str, path: Path) -> str:
    """Mend the links from code to the reference; viewcode takes all names of a module to be public, or none."""
    module = path.with_suffix("").as_posix().partition("/_modules/")[2].replace("/", ".")

    def mended(link: re.Match) -> str:
        target = (path.parent / link[1]).read_text(encoding="utf-8")
        name = link[2] if f'id="{link[2]}"' in target else f"{module}.{link[2].partition('.')[2]}"
        return f'class="viewcode-back" href="{link[1]}#{name}"'

    return re.sub(r'class="viewcode-back" href="([^"#]+)#([^"]+)"', mended, page)


def policy(page: str) -> str:
    """Give the content security policy of a page: its own inline scripts, by hash, and files beside it."""
    scripts = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in sorted(set(hashes)))
    sources = SOURCES | {"script-src": f"{SOURCES['script-src']} {allowed}"}
    content = "; ".join(f"{name} {value}" for name, value in sources.items())
    return f'<meta http-equiv="Content-Security-Policy" content="{content}">'
