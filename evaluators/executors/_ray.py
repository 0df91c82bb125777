"""The connection of this process to a Ray cluster, shared by all executors that want one."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from search_spaces import UsageError

# Of a local cluster; what its object store does not hold is spilled to the disk.
_OBJECT_STORE_BYTES = 256 * 2**20
_GIB = 2**30
_REACH_SECONDS = 10.0
_CLIENT_PORT = 10001
# How many have connected and not disconnected, and whether the connection is theirs to end.
_holders = 0
_owned = False


def connect(
    address: str,
    workers: int,
    num_cpus: float,
    num_gpus: float,
    memory_gb: float | None = None,
    store_bytes: int = 0,
) -> None:
    """Connect to a cluster with room for all workers; `disconnect` once for each call.

    A process that is connected already stays with the cluster that it has, whatever the address.

    Args:
        address: "" starts a cluster of this machine, which ends with the last `disconnect`; or
            "auto", "host:port" or "ray://host:port" of one that runs.
        workers: how many actors.
        num_cpus, num_gpus, memory_gb: that each of them reserves.
        store_bytes: of data that a cluster started here is to hold in its object store.

    Raises:
        UsageError: the cluster cannot be reached, or the workers never have room in it.
    """
    global _holders, _owned
    import ray

    if not ray.is_initialized():
        _initialize(address, store_bytes)
        _owned = True
    _holders += 1
    try:
        _check_room(address, workers, {"CPU": num_cpus, "GPU": num_gpus}, memory_gb)
    except BaseException:
        disconnect()
        raise


def disconnect() -> None:
    """The last one ends the connection, and the cluster where it was started for it."""
    global _holders, _owned
    import ray

    _holders = max(0, _holders - 1)
    if _holders == 0 and _owned:
        _owned = False
        ray.shutdown()


def _initialize(address: str, store_bytes: int) -> None:
    import ray
    from ray.exceptions import RayError

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options["include_dashboard"] = False
        options["object_store_memory"] = _OBJECT_STORE_BYTES + store_bytes
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        if address:
            _reach(address)
        _quieten()
        with _signals_kept(), _command_line_hidden():
            ray.init(address or "local", **options)
    except (RayError, OSError, RuntimeError, ValueError, ImportError) as error:
        what = f'the Ray cluster at "{address}" cannot be reached'
        remedy = (
            "is it up (`ray status`), and of the same versions of Ray and Python? If it wants a "
            "token: RAY_AUTH_MODE=token, with RAY_AUTH_TOKEN or ~/.ray/auth_token"
        )
        if not address:
            what, remedy = "a Ray cluster of this machine cannot be started", "see /tmp/ray"
        first_line = (str(error).strip().splitlines() or [""])[0]
        raise UsageError(f"{what}: {type(error).__name__}: {first_line}; {remedy}") from error


def _reach(address: str) -> None:
    """Raise an `OSError` unless something listens there: Ray itself would wait for minutes."""
    from ray._private.services import canonicalize_bootstrap_address

    scheme, _, place = address.rpartition("://")
    if not scheme:
        place = canonicalize_bootstrap_address(address) or ""
    host, _, port = place.partition("/")[0].rpartition(":")
    if not host:
        host, port = port, str(_CLIENT_PORT)
    socket.create_connection((host.strip("[]"), int(port)), _REACH_SECONDS).close()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """`ray.init` puts a handler of its own in the place of ours for SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _command_line_hidden() -> Iterator[None]:
    """Ray shows a driver's command line to all of its cluster; ours may hold a password."""
    from ray._private import utils

    before = utils.get_entrypoint_name
    utils.get_entrypoint_name = lambda: "gnn-nas"
    try:
        yield
    finally:
        utils.get_entrypoint_name = before


def _quieten() -> None:
    """Ray prints to stdout how each worker died, whatever `log_to_driver` says; failures say it."""
    from ray._private import worker

    worker.print_to_stdstream = lambda *_, **__: None


def _check_room(
    address: str, workers: int, asked: dict[str, float], memory_gb: float | None
) -> None:
    """Raise a `UsageError` unless all nodes together have a place for each worker."""
    import ray

    for name, amount in asked.items():
        if amount > 1 and amount != int(amount):
            raise UsageError(
                f"executor on Ray: expected num_{name.lower()}s to be at most 1 or a whole number, "
                f"got {amount:g}"
            )
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    asked = asked | {"memory": (memory_gb or 0.0) * _GIB}
    asked = {name: amount for name, amount in asked.items() if amount > 0}
    places = sum(min(_fit(n, node.get(n, 0.0), a) for n, a in asked.items()) for node in nodes)
    if places >= workers:
        return
    has = " and ".join(_in_words({name: node.get(name, 0.0) for name in asked}) for node in nodes)
    where = f'the cluster at "{address}"' if address else "this machine"
    raise UsageError(
        f"executor on Ray: {workers} workers were asked for, each with {_in_words(asked)}; "
        f"{where} has {has or 'no node'}, which is room for {places}; ask for fewer workers, or "
        "for less (fractions too) with num_cpus, num_gpus or memory_gb"
    )


def _fit(name: str, total: float, amount: float) -> int:
    """How many workers a node has room for; one that takes part of a GPU takes it of one alone."""
    if name == "GPU" and amount < 1:
        return int(total) * int(1 / amount + 1e-9)
    return int(total / amount + 1e-9)


def _in_words(resources: dict[str, float]) -> str:
    return ", ".join(
        f"{amount / _GIB:.3g} GiB" if name == "memory" else f"{amount:g} {name}"
        for name, amount in resources.items()
    )
