"""Sphinx configuration."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generate

from fasthep_validate import __version__

generate.write_all(HERE / "reference" / "generated")

project = "fasthep-validate"
author = "The FAST-HEP developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "reference/generated"]  # parts, to be included

html_theme = "furo"
html_title = f"fasthep-validate {version}"
html_theme_options = {
    "source_repository": "https://github.com/FAST-HEP/fasthep-validate/",
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_heading_anchors = 3
copybutton_exclude = ".linenos, .gp, .go"

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "model_config"}
# Types of other packages are not looked up: the build needs no network.
nitpick_ignore_regex = [("py:.*", r"(?!fasthep_validate\.).*")]
nitpick_ignore = [
    # internal
    ("py:class", "fasthep_validate.models.execution._absolute"),
    ("py:class", "fasthep_validate.models.written._text"),
    ("py:class", "fasthep_validate.hub.Hub"),
    ("py:class", "fasthep_validate.testing.M"),
    # told as keys of a profile
    ("py:class", "fasthep_validate.models.execution.Timeouts"),
    ("py:class", "fasthep_validate.models.profile.CheckSettings"),
    ("py:class", "fasthep_validate.models.profile.Paths"),
    ("py:class", "fasthep_validate.models.credentials.Credentials"),
    ("py:class", "fasthep_validate.models.storage.Storage"),
    ("py:class", "fasthep_validate.models.written.Written"),
]
