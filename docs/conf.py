"""How Sphinx builds the site: python -m sphinx -W docs build/site."""

import rio_mucho_cli

project = "rio-mucho-cli"
author = "The rio-mucho-cli developers"
copyright = author
version = release = rio_mucho_cli.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["build"]
smartquotes = False  # --option is one

myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
maximum_signature_line_length = 70
numpydoc_show_class_members = False
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = "rio mucho"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
