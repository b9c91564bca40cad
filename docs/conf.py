"""The documentation site: `make docs`, in build/docs/html. Nothing on it is loaded from the network."""

import os
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "src")]
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent / "src"), os.environ.get("PYTHONPATH")]))

project = "anypool"
author = "The anypool authors"
copyright = "The anypool authors"
version = release = import_module("anypool").__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "command_pages",
    "docstrings",
    "layer_pages",
    "measured",
    "notebooks",
    "operator_pages",
    "playground_pages",
    "pyramid_pages",
    "source_links",
]
exclude_patterns = ["_ext"]
default_role = "code"

# Markdown, and notebooks written in it
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_cache_path = str(HERE.parent / "build" / "docs" / "notebooks")
nb_mime_priority_overrides = [("html", "text/html", 0)]

# Docstrings
autodoc_typehints = "none"  # signatures have them
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|np|torch|jax|keras|tensorflow|keras_core)\b.*"),  # documented elsewhere
    (r"py:(class|obj)", r"(ValueError|TypeError|optional|callable|array.*)"),
    (r"py:.*", r"anypool\.(operators\.base|plans|windows|torch\.(bases|modules)|keras\.(bases|layers))\..*"),
]

html_theme = "furo"
html_title = "anypool"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": "https://github.com/anypool/anypool/",
    "source_branch": "main",
    "source_directory": "docs/",
    "light_css_variables": {"color-brand-primary": "#0b5cad", "color-brand-content": "#0b5cad"},
    "dark_css_variables": {"color-brand-primary": "#7cb8ff", "color-brand-content": "#7cb8ff"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
