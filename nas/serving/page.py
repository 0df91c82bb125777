"""The page at `/docs`: the description as HTML, with nothing to load and no script."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

_LONGEST = 300
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }}
pre {{ background: #f3f3f3; padding: .7rem; overflow-x: auto; }}
table {{ border-collapse: collapse; }} td {{ padding: .1rem 1rem .1rem 0; vertical-align: top; }}
h2 {{ border-top: 1px solid #ccc; padding-top: .7rem; }}
</style></head><body>
<h1>{title}</h1><p>{text}</p><p>The same for programs: <a href="/openapi.json">/openapi.json</a></p>
"""


def page(described: Mapping[str, Any], url: str) -> str:
    """The page.

    Args:
        described: what `/openapi.json` says.
        url: of the service, for the commands that are shown.
    """
    info = described["info"]
    parts = [_HEAD.format(title=escape(info["title"]), text=escape(info["description"]))]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(f"{method.upper()} {path}", operation, f"{url}{path}"))
    parts.append("<h2>Schemas</h2>")
    for name, schema in described["components"]["schemas"].items():
        parts.append(f"<h3>{escape(name)}</h3>{_json(schema)}")
    return "".join(parts) + "</body></html>\n"


def _operation(title: str, operation: Mapping[str, Any], url: str) -> str:
    parts = [f"<h2>{escape(title)}</h2><p>{escape(operation['summary'])}. "]
    parts.append(escape(operation.get("description", "")) + "</p>")
    content = operation.get("requestBody", {}).get("content", {})
    for kind, body in content.items():
        parts.append(f"<h3>{escape(kind)}</h3>")
        text = body["schema"].get("description")
        parts.append(f"<p>{escape(text)}</p>" if text else "")
        parts.append(f"<pre>{escape(_command(url, kind, body.get('example')))}</pre>")
    parts.append("" if content else f"<pre>curl {escape(url)}</pre>")
    rows = [
        f"<tr><td>{status}</td><td>{escape(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    ]
    return "".join(parts) + f"<table>{''.join(rows)}</table>"


def _command(url: str, kind: str, example: object) -> str:
    text = json.dumps(example)
    if example is None:
        data = "--data-binary @graph.safetensors -o answer.safetensors"
    else:
        data = f"-d '{text}'" if len(text) <= _LONGEST else "-d @graph.json"
    return f"curl {url} -H 'Content-Type: {kind}' {data}"


def _json(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2))}</pre>"
