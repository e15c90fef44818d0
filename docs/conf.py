"""Sphinx's configuration for `make site`; make_site.py stages the sources and calls Sphinx."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]  # the extensions next to this file, and the checkout's plopkit

from plopkit import __version__ as release  # noqa: E402

project = "plopkit"
version = release
author = "plopkit developers"
copyright = "plopkit developers, MIT licence; graphics: Twemoji, © Twitter, Inc and other contributors, CC-BY 4.0"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "docstrings",
    "mathml",
]
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True  # $$ … $$ in the middle of a paragraph, as JupyterLab has it
myst_heading_anchors = 3

# The API reference, built from the docstrings.
default_role = "code_or_link"  # text in single backticks; see docstrings.py
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_mock_imports = ["inplace_abn"]  # not installed everywhere
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Fields", "params_style")]
maximum_signature_line_length = 100

nb_execution_mode = "off"  # make_site.py has executed them
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # a page has no kernel: pictures replace the widgets

html_theme = "sphinx_book_theme"
html_title = f"plopkit {release}"  # above the table of contents, and in the title of every page
html_static_path = [str(DOCS / "static")]
html_css_files = ["site.css"]
html_math_renderer = "mathml"  # drawn by the browser; MathJax would be fetched from the network
html_theme_options = {
    "navbar_persistent": [],  # the search field is in the side bar
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": True,
    "use_fullscreen_button": False,
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is set
html_copy_source = True  # the download button serves the notebook
html_show_sphinx = False
