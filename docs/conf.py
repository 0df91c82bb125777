"""How the documentation is built: `sphinx-build -W --keep-going -c docs . docs/_build`.

The root of the repository is the source, so a link between two Markdown files is the same one in a
clone, on a forge and in the site. `docs/index.md` is the navigation.
"""

from sphinx.application import Sphinx

project = "gnn-nas"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/*.md",
    "docs/decisions/*.md",
    "docs/reference/*.md",
    "benchmarks/*.md",
    "examples/*.md",
    "studies/*.md",
]
html_theme = "furo"
html_title = "gnn-nas"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_additional_pages = {"index": "to_front_page.html"}
templates_path = ["templates"]

myst_heading_anchors = 4  # those of a forge: #the-tables
# A name in backticks in a docstring is code, and a link where it names something that is here.
default_role = "py:obj"
napoleon_use_ivar = True  # a list of attributes, not a heading for each
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
maximum_signature_line_length = 80
add_module_names = False
# Types of other projects are named, not linked: nothing is fetched at build time.
nitpicky = False


def _examples_as_code(_app: Sphinx, _context: object, lines: list[str]) -> None:
    """Show the examples of a command's help as a block of code."""
    if "| Examples:" not in lines:
        return
    at = lines.index("| Examples:")
    commands = [line.removeprefix("|") for line in lines[at + 1 :] if line.strip()]
    lines[at:] = ["Examples:", "", ".. code-block:: text", "", *(f" {c}" for c in commands), ""]


def setup(app: Sphinx) -> None:
    app.connect("sphinx-click-process-description", _examples_as_code)
