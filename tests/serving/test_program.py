"""The process of the program: its death is an answer, and it comes back."""

import asyncio
import contextlib
import mmap
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import torch

from nas.export._base import BundleError
from nas.export.load import load_bundle
from nas.serving.graphs import Graph
from nas.serving.limits import OverdueError, RequestError
from nas.serving.program import Program, ProgramError
from nas.serving.slots import Sizes, Slot

from .conftest import FEATURES


def a_graph(nodes: int, edges: int = 0) -> Graph:
    generator = torch.Generator().manual_seed(nodes)
    x = torch.randn(nodes, FEATURES, generator=generator)
    return Graph(x, torch.randint(nodes, (2, edges), generator=generator), None, 1)


def of(folder: Path) -> Program:
    return Program(folder, None, load_bundle(folder).manifest)


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
    """Whose graph was computed is told how it ended; who waited behind it is answered after all."""
    bundle, told = load_bundle(node_bundle), list[str]()
    program = Program(node_bundle, None, bundle.manifest, say=told.append)

    async def run() -> None:
        await program.connect()
        [process] = children()
        process.send_signal(signal.SIGSTOP)
        waiting = [asyncio.create_task(program.run(a_graph(nodes))) for nodes in (5, 6, 7)]
        await asyncio.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        with pytest.raises(ProgramError, match="the program's process ended by signal 9"):
            await waiting[0]
        assert not program.is_up
        for nodes, answer in zip((6, 7), waiting[1:], strict=True):
            graph = a_graph(nodes)
            assert torch.equal(await answer, bundle.predict(graph.x, graph.edge_index))
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
    assert [line.partition(";")[0] for line in told] == [
        "the program's process ended by signal 9",
        "the program is back",
    ]


def test_one_that_hangs_is_ended(node_bundle: Path) -> None:
    """Whose graph took too long is told; who waited behind it is answered, by a new process."""
    bundle, told = load_bundle(node_bundle), list[str]()
    program = Program(node_bundle, None, bundle.manifest, seconds=1, say=told.append)
    reason = "the program took longer than 1 seconds and was ended"
    assert program.away == "the program has not been opened yet"

    async def run() -> None:
        await program.connect()
        assert (await program.run(a_graph(4))).shape == (4, 3)
        assert program.away is None
        [process] = children()
        process.send_signal(signal.SIGSTOP)
        waiting = [asyncio.create_task(program.run(a_graph(nodes))) for nodes in (5, 6, 7)]
        with pytest.raises(OverdueError, match="ended after 1 seconds without an ans") as refused:
            await waiting[0]
        assert refused.value.status == 504
        assert program.away == reason
        process.wait(30)
        for nodes, answer in zip((6, 7), waiting[1:], strict=True):
            graph = a_graph(nodes)
            assert torch.equal(await answer, bundle.predict(graph.x, graph.edge_index))
        program.disconnect()

    try:
        program.start()
        asyncio.run(run())
    finally:
        program.close()
    assert told == [f"{reason}; it is started again", "the program is back"]


def test_one_that_does_not_open(node_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is ended after a while, with a line."""
    monkeypatch.setattr("nas.serving.process._OPENING_S", 0.01)
    program = of(node_bundle)
    try:
        with pytest.raises(BundleError, match=r"could not be opened within 0\.01 s"):
            program.start()
    finally:
        program.close()
    assert children() == []


def test_it_ends_while_it_is_started_again(node_bundle: Path) -> None:
    """Also where the new process hangs while it opens the program."""
    told: list[str] = []
    program = Program(node_bundle, None, load_bundle(node_bundle).manifest, say=told.append)

    async def run() -> None:
        await program.connect()
        [process] = children()
        process.kill()
        await until(lambda: not program.is_up)
        await until(lambda: any(one.pid != process.pid for one in children()))
        [another] = children()
        another.send_signal(signal.SIGSTOP)
        program.disconnect()
        try:
            another.wait(30)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                another.send_signal(signal.SIGCONT)

    try:
        program.start()
        asyncio.run(run())
    finally:
        program.close()
    assert [line.partition(";")[0] for line in told] == ["the program's process ended by signal 9"]


@pytest.mark.parametrize("fault", ["gone", "another", "no process"])
def test_one_that_cannot_come_back(
    fault: str,
    node_bundle: Path,
    graph_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All wait for the same time at most, and are told to try again; another bundle is refused.

    Once the fault is mended, it is back.
    """
    folder = tmp_path / "bundle"
    shutil.copytree(node_bundle, folder)
    told: list[str] = []
    program = Program(folder, None, load_bundle(folder).manifest, say=told.append)
    monkeypatch.setattr("nas.serving.program._STARTING_S", 1.0)

    def none(*_: object) -> None:
        raise OSError(24, "Too many open files")

    async def run() -> None:
        await program.connect()
        with monkeypatch.context() as patched:
            if fault == "no process":
                patched.setattr("socket.socketpair", none)
            else:
                shutil.rmtree(folder)
            if fault == "another":
                shutil.copytree(graph_bundle, folder)
            [process] = children()
            process.kill()
            await until(lambda: not program.is_up)
            began = time.monotonic()
            waiting = [asyncio.create_task(program.run(a_graph(5))) for _ in range(6)]
            for one in waiting:
                with pytest.raises(RequestError, match="not back yet") as refused:
                    await one
                assert refused.value.status == 503
            assert time.monotonic() - began < 3
            await until(lambda: len(told) > 1)
        if fault != "no process":
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(node_bundle, folder)
        await until(lambda: program.is_up)
        assert (await program.run(a_graph(5))).shape == (5, 3)
        program.disconnect()

    try:
        program.start()
        asyncio.run(run())
    finally:
        program.close()
    reason = {"gone": "is not a bundle", "another": "is another bundle", "no process": "Too many"}
    assert reason[fault] in told[1]
    assert told[-1] == "the program is back"


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.05)


def test_a_program_that_cannot_be_opened(node_bundle: Path, tmp_path: Path) -> None:
    """Is refused with the reason that the process gives."""
    program = Program(tmp_path, None, load_bundle(node_bundle).manifest)
    try:
        with pytest.raises(BundleError, match="is not a bundle"):
            program.start()
    finally:
        program.close()


@pytest.mark.parametrize("place", [(os, "posix_fallocate"), (mmap, "mmap")], ids=str)
def test_without_room_in_memory(
    node_bundle: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[ModuleType, str]
) -> None:
    """503 instead of the end of the server, and then it goes on."""
    program = of(node_bundle)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> None:
        await program.connect()
        with monkeypatch.context() as patched:
            patched.setattr(*place, full)
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
