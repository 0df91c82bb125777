"""What is taken down of a run: kinds and amounts of operations, and tensors that are alive."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluators.latency.tracing import WORK, record, total, trace


def numbers(*shape: int, **options: Any) -> Tensor:
    return torch.empty(*shape, device="meta", **options)


INDICES = numbers(150, dtype=torch.int64)


def told(run: Callable[[], Any]) -> dict[str, float]:
    """What is not 0, by name; the bins of an amount together."""
    sums: dict[str, float] = {}
    for name, value in zip(WORK, trace(run).work, strict=True):
        kind = name.partition(".side")[0].partition("bytes.")[0]
        if value:
            sums[kind] = sums.get(kind, 0.0) + value
    return sums


def test_a_linear_layer() -> None:
    """A product of 2 N F C operations that touches its input, weights, bias and output."""
    with torch.device("meta"):
        layer = nn.Linear(30, 20)
    x = numbers(100, 30)
    seen = told(lambda: layer(x))
    touched = 4 * (100 * 30 + 30 * 20 + 20 + 100 * 20)
    assert seen.pop("product.gflop") == pytest.approx(2e-9 * 100 * 30 * 20)
    assert seen.pop("product.gbytes") == pytest.approx(1e-9 * touched)
    assert seen.pop("product.grows") == pytest.approx(1e-9 * 100)
    # The weights are transposed without being moved.
    assert seen == {"product.calls": 1, "view.calls": 1, "modules.calls": 1}


@pytest.mark.parametrize(
    ("run", "kind", "moved"),
    [
        (lambda x: x.relu(), "map", 2 * 4 * 100 * 8),
        (lambda x: x.exp(), "exponential", 2 * 4 * 100 * 8),
        (lambda x: x.tanh(), "hyperbolic", 2 * 4 * 100 * 8),
        (lambda x: x.log(), "logarithm", 2 * 4 * 100 * 8),
        (lambda x: x.sum(0), "reduction", 4 * 100 * 8 + 4 * 8),
        (lambda x: torch.cat([x, x]), "copy", 4 * 4 * 100 * 8),
        (lambda x: x.new_zeros(100, 8), "fill", 2 * 4 * 100 * 8),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_call_and_its_bytes(run: Callable[[Tensor], Tensor], kind: str, moved: int) -> None:
    """Of x [100, 8]: one call of the kind, and the bytes that it moves."""
    x = numbers(100, 8)
    expected = {f"{kind}.calls": 1, f"{kind}.g": 1e-9 * moved}
    assert told(lambda: run(x)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("run", "kind", "moved"),
    [
        (lambda x, _: x.index_select(0, INDICES), "gather", 2),
        (lambda x, given: x.index_add(0, INDICES, given), "scatter", 1),
        (lambda x, given: x.index_reduce(0, INDICES, given, "amax"), "extreme", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("width", [15, 16])
def test_rows_by_index(
    run: Callable[[Tensor, Tensor], Tensor], kind: str, moved: int, width: int
) -> None:
    """Of x [100, width], 150 of them: bytes of the rows, and how many; narrow ones are apart."""
    if width < 16 and kind != "gather":
        kind = f"narrow_{kind}"
    x, given = numbers(100, width), numbers(150, width)
    expected = {
        f"{kind}.calls": 1,
        f"{kind}.g": 1e-9 * moved * 4 * 150 * width,
        f"{kind}.grows": 1e-9 * 150,
    }
    assert told(lambda: run(x, given)) == pytest.approx(expected)


def test_amounts_go_to_the_marks_next_to_them() -> None:
    """All to a mark that is hit, half each between two, the last for all beyond."""
    maps = [WORK.index(name) for name in WORK if name.startswith("map.gbytes")]

    def shares(size: int) -> list[float]:
        x = numbers(size // 8)
        work = trace(lambda: x.relu()).work[maps]  # reads and writes 4 bytes a number
        return (work / work.sum()).round(6).tolist()

    assert shares(2**18) == [0, 1, 0, 0, 0]
    assert shares(2**30) == [0, 0, 0, 0, 1]
    assert shares(2**10) == [1, 0, 0, 0, 0]
    between = shares(round(2**19.5))
    assert between == pytest.approx([0, 0.5, 0.5, 0, 0], abs=1e-3)


def test_work_adds_up() -> None:
    """Two things done one after the other are the sum of both; twice is twice."""
    x = numbers(100, 8)
    one, other = (lambda: x.exp().sum(0)), (lambda: x.t() @ x)
    both = trace(lambda: (one(), other())).work
    np.testing.assert_allclose(both, trace(one).work + trace(other).work, rtol=1e-12)
    assert not np.allclose(both, 2 * trace(one).work)
    seen = record(one)
    twice = total(np.concatenate([seen.operations, seen.operations]))
    np.testing.assert_allclose(twice, 2 * total(seen.operations), rtol=1e-12)


def test_an_operation_of_no_known_kind_is_named() -> None:
    """And what is known beside it counts still."""
    x = numbers(9, 9)
    seen = trace(lambda: torch.special.i0(x.relu()))
    assert seen.unknown == {"i0"}
    assert seen.work.sum() == trace(x.relu).work.sum()
    assert trace(x.relu).unknown == frozenset()


def chain(x: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        x = x.relu()
    return x


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_tensors_that_are_let_go_make_room(device: str) -> None:
    """A chain holds two tensors at a time however long; a list holds them all."""
    x = torch.empty(1000, device=device)
    assert trace(lambda: chain(x, 1)).peak_bytes == 4000
    assert trace(lambda: chain(x, 2)).peak_bytes == trace(lambda: chain(x, 20)).peak_bytes == 8000
    assert trace(lambda: [x.relu() for _ in range(20)]).peak_bytes == 20 * 4000
    assert trace(lambda: chain(x, 20)).output_bytes == 4000


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_view_takes_no_memory_and_keeps_what_it_shows(device: str) -> None:
    """Views of inputs, results and expanded numbers; and a change in place."""
    x = torch.empty(1000, 10, device=device)
    assert trace(lambda: (x.t(), x[2:], x.view(-1), x[0].expand(50, 10))).peak_bytes == 0

    def kept() -> tuple[Tensor, Tensor]:
        view = x.relu()[:1]
        return view, x.exp()

    def freed() -> tuple[Tensor, Tensor]:
        copied = x.relu()[:1].clone()
        return copied, x.exp()

    assert trace(kept).peak_bytes == 2 * 40_000
    assert trace(freed).peak_bytes == 40_000 + 40
    assert trace(lambda: x.relu().exp_().neg_().t()).peak_bytes == 40_000
