"""The process that runs the program: native code of a bundle, apart from what talks to clients.

Both are busy at once, and a program that crashes takes no other answer with it. Graphs lie in
memory that both see; of each forward one line goes there, with the slot and the sizes of its graph,
and one comes back. The process ends when its connection does.
"""

import hashlib
import json
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluators.dying import die_with
from evaluators.latency.allocator import kept_memory
from nas.export._base import BundleError, Contract, Runnable
from nas.export._manifest import Manifest, text_of
from nas.export.load import load_bundle
from nas.serving.joining import joins
from nas.serving.slots import Sizes, Slot
from search_spaces import UsageError


def answer(
    connection: socket.socket,
    paths: list[str],
    server: int,
    folder: Path,
    exporter: str | None,
    digest: str,
    threads: int,
) -> None:
    """Open a program, say whether it may be given joined graphs, and run it for each line.

    Args:
        connection: to the server.
        paths: of the slots.
        server: its process.
        folder, exporter: see `load_bundle`.
        digest: of the manifest that the server has read; another bundle is refused.
        threads: of torch.
    """
    # Where `without_signals` could not keep them out.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with(server)
    torch.set_num_threads(threads)
    try:
        bundle = load_bundle(folder, exporter)
        if digest_of(bundle.manifest) != digest:
            raise BundleError(f"{folder} is another bundle than when the server began; restart it")
        contract = bundle.manifest.contract
        _say(connection, {"together": joins(bundle.program, contract)})
    except UsageError as error:
        _say(connection, {"error": str(error)})
        return
    attend(connection, paths, _mortal(bundle.program, server), contract)


def _mortal(program: Runnable, server: int) -> Runnable:
    """A program that is killed with the server while it runs, as one that never returns has to be.

    Between two graphs the process ends by itself, and a program removes its temporary files.
    """
    die_with(None)

    def run(*inputs: Tensor) -> Tensor:
        die_with(server)
        try:
            return program(*inputs)
        finally:
            die_with(None)

    return run


@contextmanager
def without_signals() -> Iterator[None]:
    """A process that is started now is told of no Ctrl-C or SIGTERM; here they come afterwards.

    The terminal and systemd send these to all of a group: the server ends the process itself.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which lets them through when it has begun
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def digest_of(manifest: Manifest) -> str:
    """SHA-256 of the file of a manifest, which is read only as it was written."""
    return hashlib.sha256(text_of(manifest.to_json()).encode()).hexdigest()


def attend(
    connection: socket.socket, paths: list[str], program: Runnable, contract: Contract
) -> None:
    """Run the program for each line that comes, until no more can."""
    slots = [Slot(path) for path in paths]
    with kept_memory(), connection.makefile("rb") as lines:
        for line in lines:
            asked = json.loads(line)
            sizes = Sizes(*asked["sizes"])
            said = _forward(program, contract, slots[asked["slot"]], sizes)
            _say(connection, {"slot": asked["slot"], **said})
    for slot in slots:
        slot.close()


def _say(connection: socket.socket, value: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(value).encode() + b"\n")


def _forward(program: Runnable, contract: Contract, slot: Slot, sizes: Sizes) -> dict[str, Any]:
    """What is said of a forward, whose logits are in the slot; nothing where all is well."""
    try:
        tensors = slot.tensors(sizes, contract)
        inputs = [tensors[name] for name in tensors if name != "logits"]
        if contract.is_graph_task:
            inputs.append(torch.zeros(sizes.graphs, dtype=torch.int64))
        with torch.inference_mode():
            logits = program(*inputs)
            expected = tensors["logits"]
            if logits.shape != expected.shape:
                raise ValueError(f"it gave {list(logits.shape)} for {list(expected.shape)}")
            expected.copy_(logits)
            return {} if bool(logits.isfinite().all()) else {"infinite": True}
    except Exception as error:  # a fault boundary: the program is someone's
        reason = str(error).strip().partition("\n")[0][:200]
        memory = isinstance(error, MemoryError) or "memory" in reason.lower()
        return {"memory" if memory else "failed": f"{type(error).__name__}: {reason}"}
