"""Model cards: what a bundle holds and says, on one page for people.

All of it is read from the bundle, whose files are compared with their hashes; no program is opened,
and no module is imported because a bundle names it. What a bundle says is escaped, so that it
cannot be more than text on the page.
"""

from pathlib import Path

from nas.cards._facts import Facts, Opening, Value, facts_of
from nas.cards._markdown import markdown
from nas.cards._page import page

__all__ = ["Facts", "Opening", "Value", "card", "facts_of", "markdown", "page"]


def card(folder: Path | str) -> str:
    """The model card of a bundle, in Markdown, with the head that Hugging Face reads.

    Raises:
        BundleError: a file is missing or damaged, or the manifest is of another version.
    """
    return markdown(facts_of(Path(folder)))
