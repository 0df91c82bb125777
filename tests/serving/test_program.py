"""The process of the program: its death is an answer, and it comes back."""

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest
import torch

from nas.export._base import BundleError
from nas.export.load import load_bundle
from nas.serving.graphs import Graph
from nas.serving.limits import RequestError
from nas.serving.program import Program, ProgramError
from nas.serving.slots import Sizes, Slot

from .conftest import FEATURES


def a_graph(nodes: int, edges: int = 0) -> Graph:
    generator = torch.Generator().manual_seed(nodes)
    x = torch.randn(nodes, FEATURES, generator=generator)
    return Graph(x, torch.randint(nodes, (2, edges), generator=generator), None, 1)


def of(folder: Path) -> Program:
    return Program(folder, None, load_bundle(folder).manifest.contract)


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())]


def test_it_computes_what_the_bundle_does(node_bundle: Path) -> None:
    """On graphs of growing and falling sizes; one too large for what is kept gives memory back."""
    bundle = load_bundle(node_bundle)
    program = of(node_bundle)

    async def run() -> None:
        await program.connect()
        for nodes in (3, 1, 4000, 2_000_000, 7):
            graph = a_graph(nodes, edges=2 * nodes)
            expected = bundle.predict(graph.x, graph.edge_index)
            assert torch.equal(await program.run(graph), expected)
            assert sum(Path(slot.path).stat().st_size for slot in program._slots) < 80 * 2**20
        assert not torch.equal(await program.run(a_graph(8)), expected)  # the control
        program.disconnect()

    try:
        assert program.start() is False
        asyncio.run(run())
    finally:
        program.close()
    assert children() == []


def test_its_death_is_an_answer(node_bundle: Path) -> None:
    """Those who wait are told how it ended, and the next one is answered by another process."""
    program = of(node_bundle)

    async def run() -> None:
        await program.connect()
        [process] = children()
        process.send_signal(signal.SIGSTOP)
        waiting = asyncio.create_task(program.run(a_graph(5)))
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        with pytest.raises(ProgramError, match="the program's process ended by signal 9"):
            await waiting
        assert not program.is_up
        assert (await program.run(a_graph(5))).shape == (5, 3)
        assert program.is_up
        [another] = children()
        assert another.pid != process.pid
        program.disconnect()

    try:
        program.start()
        asyncio.run(run())
    finally:
        program.close()
    assert children() == []


def test_a_program_that_cannot_be_opened(node_bundle: Path, tmp_path: Path) -> None:
    """Is refused with the reason that the process gives."""
    program = Program(tmp_path, None, load_bundle(node_bundle).manifest.contract)
    try:
        with pytest.raises(BundleError, match="is not a bundle"):
            program.start()
    finally:
        program.close()


def test_without_room_in_memory(node_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 instead of the end of the server, and then it goes on."""
    program = of(node_bundle)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> None:
        await program.connect()
        with monkeypatch.context() as patched:
            patched.setattr(os, "posix_fallocate", full)
            with pytest.raises(RequestError, match="not enough memory") as refused:
                await program.run(a_graph(100_000))
            assert refused.value.status == 503
        assert (await program.run(a_graph(100_000))).shape == (100_000, 3)
        program.disconnect()

    try:
        program.start()
        asyncio.run(run())
    finally:
        program.close()


def test_both_sides_see_the_same_tensors(node_bundle: Path) -> None:
    """At places that follow from sizes alone; tensors do not overlap."""
    contract = load_bundle(node_bundle).manifest.contract
    ours, sizes = Slot(), Sizes(5, 3, 1)
    theirs = Slot(ours.path)
    written = ours.tensors(sizes, contract)
    for value, name in enumerate(written):
        written[name].fill_(value)
    seen = theirs.tensors(sizes, contract)
    assert list(seen) == ["x", "edge_index", "logits"]
    for value, name in enumerate(seen):
        assert seen[name].shape == written[name].shape
        assert bool((seen[name] == value).all())
    theirs.close()
    ours.close()
