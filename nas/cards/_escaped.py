"""Text from a bundle, as text: nothing in it is markup, whatever it says."""

import json
import re
import unicodedata
from collections.abc import Sequence

# What has a meaning in Markdown wherever it stands, or in HTML; and `:`, which makes links of
# addresses.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~&$:])")
# What has one where a line or an item of a list begins.
_BEGINS = re.compile(r"^(\d*)([-+#=.)])")
_PLAIN = re.compile(r"[A-Za-z0-9 _.,;:=+/%\"'@()\[\]{}-]+")


def in_one_line(value: object) -> str:
    """Without line breaks, and without characters that are not seen or turn others round."""
    words = " ".join(str(value).split())
    return "".join(c for c in words if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))


def text(value: object) -> str:
    """For a line of Markdown, an item of a list, or a cell of a table."""
    said = _BEGINS.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", in_one_line(value)))
    return re.sub(r"(?i)\bwww\.", lambda match: f"{match[0][:-1]}\\.", said)


def code(value: object) -> str:
    """The same in letters of one width, where it has only such as cannot end them."""
    said = in_one_line(value)
    return f"`{said}`" if _PLAIN.fullmatch(said) else text(said)


def options(values: dict[str, object]) -> str:
    """`width = [8, 16]`, with commas between them; a dash for none."""
    said = ", ".join(
        code(f"{name} = {json.dumps(value, ensure_ascii=False)}") for name, value in values.items()
    )
    return said or "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; a column whose name begins with `>` is aligned to the right.

    Args:
        head: names of its columns, words of our own.
        rows: cells, escaped.
    """
    rule = ["---:" if name.startswith(">") else "---" for name in head]
    lines = [[name.lstrip(">") for name in head], rule, *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
