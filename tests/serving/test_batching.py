"""Joining graphs changes no answer, and happens where it may."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nas.export._base import Contract
from nas.export.load import Bundle, load_bundle
from nas.serving.batching import Forwards
from nas.serving.graphs import Given, Graph, checked, joined, parted
from nas.serving.joining import joins
from nas.serving.limits import Limits, OverdueError

from .conftest import Here

NODE = Contract(
    kind="node_classification", n_features=3, n_classes=3, features="none", edges="directed"
)
GRAPH = NODE.model_copy(update={"kind": "graph_classification"})


@st.composite
def some_graphs(draw: Any) -> list[Given]:
    """Several requests: graphs with and without edges, some of several graphs, some empty ones."""
    seed = draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(draw(st.integers(1, 6))):
        counts = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any))
        ids = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        x = torch.randn(len(ids), 3, generator=generator) * 10 ** draw(st.integers(-2, 3))
        drawn = torch.randint(len(ids), (2, draw(st.integers(0, 12))), generator=generator)
        edges = drawn[:, ids[drawn[0]] == ids[drawn[1]]]
        made.append(Given(x, edges, ids, draw(st.sampled_from([len(counts), len(counts) + 2]))))
    return made


@pytest.fixture(scope="module")
def opened(graph_bundle: Path) -> Bundle:
    return load_bundle(graph_bundle)


def alone(bundle: Bundle, one: Given) -> Tensor:
    assert one.edge_index is not None
    return bundle.predict(one.x, one.edge_index, one.graph_ids, graphs=one.graphs)


def together(bundle: Bundle, several: Sequence[Given]) -> Sequence[Tensor]:
    ready = [checked(bundle, one, Limits()) for one in several]
    return parted(bundle.program(*joined(ready).inputs), ready)


def differ(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    return any(
        a.shape != b.shape or not torch.allclose(a, b, rtol=1e-5, atol=1e-5)
        for a, b in zip(left, right, strict=True)
    )


@given(several=some_graphs())
@settings(max_examples=60, deadline=None)
def test_each_answer_is_that_of_its_graph_alone(opened: Bundle, several: list[Given]) -> None:
    assert not differ(together(opened, several), [alone(opened, one) for one in several])


@pytest.mark.parametrize("fault", ["edges", "ids", "parts"])
def test_wrong_joins_would_be_noticed(opened: Bundle, fault: str) -> None:
    """The control: edges or numbers that are not shifted, and answers in another's place."""
    generator = torch.Generator().manual_seed(0)
    several = [
        Given(
            torch.randn(4, 3, generator=generator),
            torch.tensor([[0, 1, 2], [1, 2, 3]]),
            torch.tensor([0, 0, 1, 1]) * (n - 1),
            n,
        )
        for n in (1, 2)
    ]
    several[1] = Given(several[1].x, torch.tensor([[0, 2], [1, 3]]), several[1].graph_ids, 2)
    ready = [checked(opened, one, Limits()) for one in several]
    both = joined(ready)
    assert both.graph_ids is not None
    x, edge_index, ids, counted = both.inputs
    if fault == "edges":
        edge_index = torch.cat([one.edge_index for one in ready], dim=1)
    if fault == "ids":
        ids = torch.cat([one.graph_ids for one in ready if one.graph_ids is not None])
    logits = opened.program(x, edge_index, ids, counted)
    parts = list(parted(logits, ready))
    if fault == "parts":
        parts = list(logits.split([2, 1]))
    assert differ(parts, [alone(opened, one) for one in several])


class Counted:
    """A program that notes how many graphs each forward had, and waits until it is let go."""

    def __init__(self, program: Any) -> None:
        self.program, self.sizes = program, []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, *inputs: Tensor) -> Tensor:
        self.sizes.append(inputs[3].numel() if len(inputs) > 2 else 0)
        self.begun.set()
        assert self.go_on.wait(30)
        answer: Tensor = self.program(*inputs)
        return answer


def asked(
    bundle: Bundle, program: Counted, graphs: Sequence[Graph], **given: Any
) -> list[Tensor | BaseException]:
    """What is answered to those who ask at once; the first is computed before the others ask."""

    async def ask() -> list[Tensor | BaseException]:
        here = Here(program, bundle.manifest)
        here.start(together=False)
        await here.connect()
        settings = {"together": True, "most_graphs": 4, "most_bytes": 10**9, "ahead": 1} | given
        forwards = Forwards(here.run, **settings)
        try:
            first = asyncio.create_task(forwards.ask(graphs[0]))
            if not program.go_on.is_set():
                assert await asyncio.to_thread(program.begun.wait, 30)
            others = [asyncio.create_task(forwards.ask(one)) for one in graphs[1:]]
            await asyncio.sleep(0)
            program.go_on.set()
            async with asyncio.timeout(30):
                return await asyncio.gather(first, *others, return_exceptions=True)
        finally:
            program.go_on.set()
            here.disconnect()
            here.close()

    return asyncio.run(ask())


def ask_seven(bundle: Bundle, **given: Any) -> list[int]:
    """One graph, and six more while its forward runs; each answer is compared."""
    program = Counted(bundle.program)
    several = [
        Given(torch.full((2, 3), float(i)), torch.tensor([[0], [1]]), torch.zeros(2).long())
        for i in range(7)
    ]
    got = asked(bundle, program, [checked(bundle, one, Limits()) for one in several], **given)
    answers = [one for one in got if isinstance(one, Tensor)]
    assert not differ(answers, [alone(bundle, one) for one in several])
    return program.sizes


def test_those_that_wait_are_joined(opened: Bundle) -> None:
    """Up to so many; none where they must not be, or would be too large together."""
    assert ask_seven(opened, together=True) == [1, 4, 2]
    assert ask_seven(opened, together=False) == [1] * 7
    size = checked(
        opened,
        Given(torch.zeros(2, 3), torch.tensor([[0], [1]]), torch.zeros(2).long()),
        Limits(),
    ).n_bytes
    assert ask_seven(opened, together=True, most_bytes=2 * size) == [1, 2, 2, 2]
    assert ask_seven(opened, together=True, most_bytes=1) == [1] * 7


def test_one_is_asked_ahead(opened: Bundle) -> None:
    """So that the program never waits for the next graph."""
    assert ask_seven(opened, ahead=2) == [1, 1, 4, 1]
    program = Counted(opened.program)
    one = Given(torch.ones(2, 3), torch.tensor([[0], [1]]), torch.zeros(2).long())
    asked(opened, program, [checked(opened, one, Limits())] * 3, together=False, ahead=2)
    assert program.sizes == [1, 1, 1]


def test_the_first_may_wait_for_others(opened: Bundle) -> None:
    """As long as it was told to, and no longer once there are enough."""
    one = Given(torch.ones(2, 3), torch.tensor([[0], [1]]), torch.zeros(2).long())
    graphs = [checked(opened, one, Limits())] * 3
    for wait_s, most, sizes in ((20, 3, [3]), (0.5, 9, [3]), (0, 3, [1, 2])):
        program = Counted(opened.program)
        if wait_s:
            program.go_on.set()
        asked(opened, program, graphs, most_graphs=most, wait_s=wait_s)
        assert program.sizes == sizes


def test_one_that_fails_fails_alone(opened: Bundle) -> None:
    """Those that were joined with it are answered; so are those beside one that is infinite."""

    def program(x: Tensor, edge_index: Tensor, ids: Tensor, counted: Tensor) -> Tensor:
        if bool((x == 3).any()):
            raise ValueError("three")
        logits: Tensor = opened.program(x, edge_index, ids, counted)
        return torch.where(logits.isfinite() & (ids.numel() > 0), logits, torch.inf)

    edges, ids = torch.tensor([[0], [1]]), torch.zeros(2).long()
    graphs = [Graph(torch.full((2, 3), v), edges, ids, 1) for v in (1.0, 2.0, 3.0, 3e38, 4.0)]
    graphs[3] = Graph(torch.full((2, 3), torch.inf), edges, ids, 1)
    got = asked(opened, Counted(program), graphs, most_graphs=9)
    failed = [type(one).__name__ for one in got]
    assert failed == ["Tensor", "Tensor", "ProgramError", "RequestError", "Tensor"]


def test_one_that_takes_too_long_is_not_tried_alone() -> None:
    """Nor are those that were joined with it: all have waited, and each could take as long."""
    sizes: list[int] = []

    async def run(graph: Graph) -> Tensor:
        await asyncio.sleep(0)
        sizes.append(graph.graphs)
        if graph.graphs == 3:
            raise OverdueError(9)
        return torch.zeros(graph.graphs, 3)

    async def ask() -> list[Tensor | BaseException]:
        forwards = Forwards(run, together=True, most_graphs=3, most_bytes=10**9, ahead=1)
        one = Graph(torch.ones(2, 3), torch.tensor([[0], [1]]), torch.zeros(2).long(), 1)
        return await asyncio.gather(*[forwards.ask(one) for _ in range(5)], return_exceptions=True)

    names = [type(one).__name__ for one in asyncio.run(ask())]
    assert names == ["Tensor", *["OverdueError"] * 3, "Tensor"]
    assert sizes == [1, 3, 1]


def test_which_programs_may_join() -> None:
    """A graph task whose graphs leave one another alone; the control normalizes over all nodes."""

    def apart(x: Tensor, _e: Tensor, ids: Tensor, counted: Tensor) -> Tensor:
        return torch.zeros(counted.numel(), 3).index_add_(0, ids, x)

    def mixed(x: Tensor, e: Tensor, ids: Tensor, counted: Tensor) -> Tensor:
        return apart(x - x.mean(0), e, ids, counted)

    assert joins(apart, GRAPH)
    assert not joins(mixed, GRAPH)
    assert not joins(lambda x, _e: x, NODE)
