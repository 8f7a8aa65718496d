"""How Sphinx makes the site: `sphinx-build -W -n -b html docs build/docs`. It needs no network."""

import memocache

project = "memocache"
author = "The memocache authors"
copyright = author
release = version = memocache.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
templates_path: list[str] = []

# ---- Markdown --------------------------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

# ---- the API, from docstrings ----------------------------------------------------------------------------------------

default_role = "code"  # `name` in a docstring
autodoc_typehints = "none"  # the docstrings say it in words, and the signatures stay short
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# What is not ours has no page here, and no other site is asked for one.
nitpick_ignore_regex = [("py:.*", r"(?!memocache\.).*")]

# ---- HTML ------------------------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"memocache {release}"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"sidebar_hide_name": False}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
