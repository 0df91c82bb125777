"""benchmarks/quantization.py: what must hold is held against what could fail, and is judged so."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import quantization
import quantization_after
import quantization_exact
import quantization_files
from quantization_drawn import Drawn, drawn
from quantization_integers import SAME, SCALED, SHIFTED, compare
from quantization_parts import FULL
from reporting import Row
from torch import Tensor

from search_spaces.quantization.formats import FLOAT
from search_spaces.quantization.layers import Precision
from search_spaces.quantization.quantizers import ActivationQuantizer

FIELDS = {"case", "measure", "value", "baseline", "ratio", "target", "ok"}


def missed(rows: list[Row]) -> list[str]:
    return [f"{row['case']}: {row['measure']}" for row in rows if row["ok"] is False]


@pytest.fixture(scope="module")
def networks() -> list[Drawn]:
    return [*drawn(3, powers=False)]


def test_what_must_hold_does() -> None:
    """Rows have their fields, none misses its target, and every claim has a control."""
    rows, text = quantization_exact.rows(True, Path(), None)
    assert all(set(row) == FIELDS for row in rows)
    assert missed(rows) == []
    assert all(row["value"] is not None and row["target"] for row in rows)
    controls = [row for row in rows if "(control)" in f"{row['case']}{row['measure']}"]
    assert len(controls) == 1 + 2 * 4 + 2 * len(vars(Precision())) + 1
    assert "weights.safetensors" in text


def test_weights_that_were_not_rounded_are_noticed(
    networks: list[Drawn], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where full precision leaves in their place, the share is 0."""
    monkeypatch.setattr(
        type(networks[0].space), "deployed", lambda _space, network, _found: network
    )
    of_rounded, control = quantization_exact.values(networks)
    assert (of_rounded["value"], of_rounded["ok"]) == (0, False)
    assert control["ok"] is True


def test_other_numbers_are_noticed(networks: list[Drawn], monkeypatch: pytest.MonkeyPatch) -> None:
    """Integers are not what a forward pass gives that rounds smaller activations."""
    found = [one.apart for each in networks for one in compare(each.network)]
    assert max(apart[SAME] for apart in found) < 1e-12
    assert min(apart[control] for apart in found for control in (SHIFTED, SCALED)) > 1e-12
    forward = ActivationQuantizer.forward

    def smaller(self: ActivationQuantizer, x: Tensor, *rows: Any) -> Tensor:
        return forward(self, 0.9 * x, *rows)

    monkeypatch.setattr(ActivationQuantizer, "forward", smaller)
    found = [one.apart for each in networks for one in compare(each.network)]
    assert max(apart[SAME] for apart in found) > 1e-3


def test_a_component_that_is_ignored_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization_exact, "FEW", FLOAT)
    share, *controls = quantization_exact.ignored("message")
    assert (share["value"], share["ok"]) == (0, False)
    assert [row["ok"] for row in controls] == [True, True]


def test_a_file_of_another_size_is_noticed() -> None:
    sizes = {
        label: quantization_files.Sizes(1000 / part, round(1000 / part), round(1000 / part) + 9, 9)
        for part, label in enumerate(quantization_files.WAYS, 1)
    }
    assert missed(quantization_files.said(sizes)[0]) == []
    sizes["W8"] = replace(sizes["W8"], tensors=1000)
    sizes["W4"] = replace(sizes["W4"], file=1000)
    assert missed(quantization_files.said(sizes)[0]) == [
        "GCN, W8: tensors: share off what is declared",
        "GCN, W4: file less header: share off what is declared",
    ]


def measured(*accuracy: float) -> Mapping[str, list[float]]:
    return {"accuracy": [*accuracy], "loss": [1.0 for _ in accuracy]}


@pytest.mark.parametrize(
    ("flexround", "ok"),
    [((0.80, 0.78, 0.79), [True]), ((0.61, 0.79, 0.58), [False]), ((0.9,), [])],
)
def test_learned_rounding_is_judged_where_it_is_for(
    flexround: tuple[float, ...], ok: list[bool]
) -> None:
    """With weights of two bits alone, by all seeds; of one seed nothing is said."""
    nearest = measured(*(0.60, 0.61, 0.62)[: len(flexround)])
    few = {
        (*bits, method): nearest if method == "nearest" else measured(*flexround)
        for bits in quantization_after.BITS
        for method in quantization_after.METHODS
    }
    rows, text = quantization_after.said(measured(*flexround), few)
    assert all(set(row) == FIELDS for row in rows)
    assert [row["ok"] for row in rows if row["ok"] is not None] == ok
    assert FULL in text


def test_unknown_sections_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["quantization.py", "--only", "exact,speed"])
    with pytest.raises(SystemExit):
        quantization.main()
    assert "expected some of exact, accuracy, degree, after" in capsys.readouterr().err
