"""How Sphinx builds the site: python -m sphinx -W docs build/site."""

import sys
import tomllib
from pathlib import Path

import rio_mucho_cli

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_tools"))

project = "rio-mucho-cli"
author = "The rio-mucho-cli developers"
copyright = author
version = release = rio_mucho_cli.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_copybutton",
    "notfound.extension",
    "site_extension",
]
exclude_patterns = ["build"]
highlight_language = "sh"  # of indented blocks
smartquotes = False  # --option is one
nitpicky = True
# Types in annotations that no page describes; public names must be on one.
nitpick_ignore_regex = [("py:.*", r"(?!rio_mucho_cli\.[A-Z]\w+(\.\w+)?$).*")]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

default_role = "py:obj"  # `name` in docstrings

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # docstrings have types for readers
numpydoc_show_class_members = False
python_use_unqualified_type_names = True

# Prompts and output are not copied.
copybutton_exclude = ".linenos, .gp, .go"
copybutton_selector = "div:not(.highlight-text) > div.highlight pre"

html_theme = "furo"
html_title = f"rio mucho {version}"
html_copy_source = False
html_use_index = html_domain_indices = False  # search finds more
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}

# The repository, if pyproject.toml has its address.
_project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
if _repository := _project.get("urls", {}).get("Repository"):
    html_theme_options |= {
        "source_repository": _repository,
        "source_branch": "main",
        "source_directory": "docs/",
    }
