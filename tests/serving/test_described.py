"""`/openapi.json` is true: requests made from it are answered as it says, and never by a 5xx."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
import schemathesis
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from safetensors.torch import save
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from .conftest import BINARY, JSON, Server

OCTETS = "application/octet-stream"
# The description cannot say that an edge ends at a node that is there, or that a file is sound.
BEYOND = ("positive_data_acceptance",)


@st.composite
def files(draw: Any) -> bytes:
    """Files of tensors: what is asked for, more or less of it, of other types, and spoiled ones."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    spoiled = draw(st.sampled_from([False, True]))
    nodes = draw(st.integers(0 if spoiled else 1, 4))
    good = {
        "x": torch.rand(nodes, 3, generator=generator),
        "edge_index": torch.randint(
            max(nodes, 1), (2, draw(st.integers(0, 4))), generator=generator
        ),
        "graph_ids": torch.zeros(nodes, dtype=torch.int64),
        "graphs": torch.zeros(draw(st.integers(0 if spoiled else 1, 3)), dtype=torch.int64),
    }
    names = draw(st.sampled_from([tuple(good)[:2], tuple(good)[:3], tuple(good)]))
    tensors = {name: good[name] for name in names}
    if not spoiled:
        where = draw(st.sampled_from(["", "0."]))
        return save({f"{where}{name}": t for name, t in tensors.items()})
    if draw(st.booleans()):
        del tensors[draw(st.sampled_from(names))]
    if draw(st.booleans()):
        name = draw(st.sampled_from(names))
        dtype = draw(st.sampled_from([torch.float64, torch.int64, torch.int8, torch.bfloat16]))
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        tensors[name] = torch.zeros(shape, dtype=dtype)
    where = draw(st.sampled_from(["", "0.", "1.", "a."]))
    content = bytearray(save({f"{where}{name}": t for name, t in tensors.items()}))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 4]))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.sampled_from([None, None, None, 4, -1]))])


schemathesis.openapi.media_type(BINARY, files())
schemathesis.openapi.media_type(OCTETS, files())


def ask(server: Server, examples: int) -> dict[tuple[str, int], int]:
    """Make requests from the description, check the answers, and count them by path and status."""
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    checks = [check for check in CHECKS.get_all() if check.__name__ not in BEYOND]
    counts: dict[tuple[str, int], int] = {}
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    predict = schema["/predict"]["POST"]
    any_case = st.one_of(*[predict.as_strategy(generation_mode=mode) for mode in modes])

    @seed(0)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=any_case)
    def one(case: Any) -> None:
        answer = case.call()
        case.validate_response(answer, checks=checks)
        key = (case.path, answer.status_code)
        counts[key] = counts.get(key, 0) + 1

    one()
    return counts


def sound(counts: dict[tuple[str, int], int], examples: int) -> None:
    """Enough of them, good and bad, and none that was the server's fault."""
    statuses = {status for _, status in counts}
    assert {200, 400, 422} <= statuses
    assert max(statuses) < 500
    assert sum(counts.values()) >= 0.9 * examples


def test_a_hundred_requests_of_each_kind(nodes: Server, graphs: Server) -> None:
    """Of both kinds of tasks."""
    for server in (nodes, graphs):
        sound(ask(server, 100), 100)


@pytest.mark.slow
def test_a_thousand_requests_of_each_kind(nodes: Server, graphs: Server) -> None:
    """The same, more of them."""
    for server in (nodes, graphs):
        sound(ask(server, 1000), 1000)


def test_a_wrong_answer_would_be_noticed(nodes: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: answers of another form than the description has."""

    def other(*_: Any, **__: Any) -> bytes:
        return b'{"predictions": []}'

    monkeypatch.setattr("nas.serving.answers.to_json", other)
    with pytest.raises(BaseException, match="violates schema"):
        ask(nodes, 100)


def test_the_description_is_of_this_bundle(nodes: Server, graphs: Server) -> None:
    """Its features, its classes, its inputs; each answer of /predict is there, with its form."""
    described = nodes.ask("GET", "/openapi.json").json
    assert described["openapi"].startswith("3.1")
    assert set(described["paths"]) == {"/predict", "/health", "/manifest", "/openapi.json", "/docs"}
    graph = described["components"]["schemas"]["Graph"]
    assert graph["required"] == ["x", "edge_index"]
    assert graph["properties"]["x"]["items"]["minItems"] == 3
    names = described["components"]["schemas"]["Predictions"]["properties"]["classes"]
    assert names["items"]["enum"] == ["cat", "dog", "bird"]
    predict = described["paths"]["/predict"]["post"]
    assert list(predict["requestBody"]["content"]) == [JSON, BINARY, OCTETS]
    statuses = ["200", "400", "408", "413", "415", "421", "422", "500", "503", "504"]
    assert list(predict["responses"]) == statuses
    other = graphs.ask("GET", "/openapi.json").json["components"]["schemas"]["Graph"]
    assert other["required"] == ["x", "edge_index", "graph_ids"]
    example = predict["requestBody"]["content"][JSON]["example"]
    assert nodes.json(example).status == 200


class _Loads(HTMLParser):
    """What a browser would run or fetch by itself, and whether each tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("script", "img", "iframe") or "src" in found:
            self.loads.append(tag)
        if tag == "link" and found.get("href") != "data:,":
            self.loads.append(str(found.get("href")))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_loads_nothing(nodes: Server) -> None:
    """No network, no script, no icon that is missing: nothing can fail. It has all there is."""
    answer = nodes.ask("GET", "/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    text = answer.body.decode()
    page = _Loads()
    page.feed(text)
    assert (page.loads, page.open) == ([], [])
    assert "url(" not in text
    for path in ("POST /predict", "GET /health", "GET /manifest", "GET /openapi.json"):
        assert path in text
    commands = re.findall(r"curl (http://[^ <]+)", text)
    assert all(command.startswith(nodes.url) for command in commands)
    assert len(commands) == 7
