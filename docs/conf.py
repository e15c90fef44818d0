"""Sphinx: the lessons as pages. `make site` stages the sources and the executed notebooks, and calls it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # mathml.py

project = "plopkit"
author = "plopkit developers"
copyright = "plopkit developers, MIT licence; graphics: Twemoji, © Twitter, Inc and other contributors, CC-BY 4.0"
extensions = ["myst_nb", "mathml"]
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True  # $$ … $$ in the middle of a paragraph, as JupyterLab has it
myst_heading_anchors = 3

nb_execution_mode = "off"  # they come executed
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # a page has no kernel: pictures stand in the widgets' place
nb_code_prompt_show = "Show the solution"
nb_code_prompt_hide = "Hide the solution"

html_theme = "sphinx_book_theme"
html_title = "plopkit"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
html_math_renderer = "mathml"  # browsers draw it; MathJax would be fetched from the net
html_theme_options = {
    "navbar_persistent": [],  # the search field stands in the side bar
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": True,
    "use_fullscreen_button": False,
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system has it
html_copy_source = True  # what the download button gives: the notebook
html_show_sphinx = False
