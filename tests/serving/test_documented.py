"""docs/serving.md says the defaults of the command."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "serving.md"


def test_the_documented_defaults() -> None:
    """Those of the command."""
    from nas.cli.serve import serve_command

    text = DOCUMENT.read_text(encoding="utf-8")
    defaults = {option.opts[0]: option.default for option in serve_command.params}
    for option, shown, value in (
        ("--max-request-bytes", "256 MiB", 256 * 2**20),
        ("--max-json-bytes", "8 MiB", 8 * 2**20),
        ("--timeout", "60", 60),
        ("--forward-timeout", "120", 120),
    ):
        assert re.search(rf"`{option}` \| {shown} \|", text)
        assert defaults[option] == value
    assert re.search(rf"graphs \(default {defaults['--max-batch']}\)", text)
