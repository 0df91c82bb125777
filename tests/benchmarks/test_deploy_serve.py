"""The benchmark of serving: what it compares, and that a slow server misses its target."""

from pathlib import Path

import deploy_serve
import pytest


@pytest.mark.parametrize(("answers", "ok"), [(80.0, True), (69.0, False)])
def test_a_slow_server_misses(answers: float, ok: bool) -> None:
    found = {"bare": [90.0, 100.0, 110.0], "http": [answers] * 3, "took": [0.01] * 98 + [0.5] * 2}
    rows = deploy_serve._rows("pt2", found)
    assert rows[0]["ratio"] == pytest.approx(answers / 100)
    assert rows[0]["ok"] is ok
    assert [round(row["value"]) for row in rows[1:]] == [10, 500]
    text = deploy_serve._text({"pt2": deploy_serve._cells(found)}, 2**20)
    assert f"| pt2 | 100 | {answers:.0f} | {answers / 100:.0%} |" in text
    assert "1.00 MiB each" in text


def test_answers_of_a_server_are_counted(tmp_path: Path) -> None:
    """Half a second of each, with a real server and client."""
    graph = deploy_serve.made_graph()
    file = tmp_path / "graph.safetensors"
    deploy_serve.save_file({"x": graph[0], "edge_index": graph[1]}, file)
    deploy_serve.write(tmp_path / "bundle", "pt2")
    found = deploy_serve.measure(tmp_path / "bundle", graph, file, 1, 0.5)
    assert len(found["took"]) >= deploy_serve.CONNECTIONS
    assert found["bare"][0] > 0
    assert found["took"] == sorted(found["took"])
