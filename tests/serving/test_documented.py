"""The Python of docs/serving.md, as it stands there, against a server."""

import re
import subprocess
import sys
from pathlib import Path

from .conftest import Server

DOCUMENT = Path(__file__).parents[2] / "docs" / "serving.md"


def test_the_documented_python(nodes: Server) -> None:
    """Both forms, in one script."""
    text = DOCUMENT.read_text(encoding="utf-8")
    code = "".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    assert code.count("http://127.0.0.1:8000") == 1
    code = code.replace("http://127.0.0.1:8000", nodes.url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r"\['(cat|dog|bird)', '(cat|dog|bird)'\]", first)
    assert second.startswith("tensor([")


def test_the_documented_defaults() -> None:
    """Those of the command."""
    from nas.cli.serve import serve_command

    text = DOCUMENT.read_text(encoding="utf-8")
    defaults = {option.opts[0]: option.default for option in serve_command.params}
    for option, shown, value in (
        ("--max-request-bytes", "256 MiB", 256 * 2**20),
        ("--max-json-bytes", "8 MiB", 8 * 2**20),
        ("--timeout", "60", 60),
    ):
        assert re.search(rf"`{option}` \| {shown} \|", text)
        assert defaults[option] == value
    assert re.search(rf"graphs \(default {defaults['--max-batch']}\)", text)
