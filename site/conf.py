"""Sphinx's settings for the site of the course. `site/build.py` writes the sources and calls Sphinx."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from sphinx.domains.std import StandardDomain  # noqa: E402

from utilities.settings import package_version  # noqa: E402

project = "The MovieLens course"
html_title = project
release = package_version()
language = "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "course_links",
    "mathml",
    "reference",
]
html_math_renderer = "mathml"

highlight_language = "none"
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath", "html_image"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_typehints_format = "fully-qualified"  # `reference.py` shortens them
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
autoclass_content = "both"
autodoc_member_order = "bysource"
maximum_signature_line_length = 88
napoleon_use_ivar = True
napoleon_attr_annotations = False
default_role = "code-or-name"  # of docstrings; see `reference.py`
toc_object_entries_show_parents = "hide"
nitpicky = False
suppress_warnings = ["myst.header"]
exclude_patterns = ["downloads"]

html_theme = "sphinx_book_theme"
html_theme_options = {
    "home_page_in_toc": False,
    "show_navbar_depth": 1,
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "footer_content_items": ["copyright.html"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "back_to_top_button": False,
    "primary_sidebar_end": [],
}
html_context = {"default_mode": "auto"}
html_sidebars = {"**": ["navbar-logo.html", "search-button-field.html", "sbt-sidebar-nav.html"]}
templates_path = [str(HERE / "templates")]
html_static_path = [str(HERE / "static")]
html_favicon = str(HERE / "static" / "icon.svg")
html_css_files = ["course.css", "pages.css"]
StandardDomain.object_types["term"].attrs["searchprio"] = 0  # the search names the term that it found in the glossary
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_domain_indices = False
html_show_search_summary = False  # it would be fetched, which no browser does from a file
copyright = "MIT licence"
