"""The connection of this process to a Ray cluster, shared by all executors that want one."""

import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from search_spaces import UsageError

# Of a local cluster; what its object store does not hold is spilled to the disk.
_OBJECT_STORE_BYTES = 256 * 2**20
_GIB = 2**30
_REACH_SECONDS = 10.0
_CLIENT_PORT = 10001
_AUTH = "RAY_AUTH_MODE"
# How many have connected and not disconnected, and whether the connection is theirs to end.
_holders = 0
_owned = False
_auth_before: str | None = None


class NoRoomError(UsageError):
    """A cluster never has room for what is asked of it."""


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
        UsageError: the cluster cannot be reached.
        NoRoomError: the workers never have room in it.
    """
    global _holders, _owned, _auth_before
    import ray

    if not ray.is_initialized():
        _auth_before = os.environ.get(_AUTH)
        try:
            _initialize(address, store_bytes)
        except BaseException:
            _set_auth(_auth_before)
            raise
        _owned = True
    _holders += 1
    try:
        _check_room(address, workers, {"CPU": num_cpus, "GPU": num_gpus}, memory_gb)
    except BaseException:
        disconnect()
        raise


def refuse(options: Mapping[str, Any]) -> None:
    """Raise a `UsageError` where it can be known before anything begins: no cluster, no room.

    Args:
        options: of the executor: address, workers, num_cpus.
    """
    address, workers = options.get("address", ""), options.get("workers", 1)
    cpus, each = os.cpu_count() or 1, options.get("num_cpus", 1.0)
    if address:
        try:
            _reach(address)
        except (OSError, RuntimeError, ValueError) as error:
            raise _unreachable(address, error) from error
    elif int(cpus / each + 1e-9) < workers:
        _no_room(address, workers, {"CPU": each}, f"{cpus} CPU", int(cpus / each + 1e-9))


def disconnect() -> None:
    """The last one ends the connection, and the cluster where it was started for it."""
    global _holders, _owned
    import ray

    _holders = max(0, _holders - 1)
    if _holders == 0 and _owned:
        _owned = False
        ray.shutdown()
        _set_auth(_auth_before)


def _set_auth(mode: str | None) -> None:
    """Whether Ray's calls of this process carry a token: "token", "disabled", or as Ray thinks.

    Ray itself turns it on for the process when it starts a local cluster, and leaves it so: then
    the actors of a next cluster, without tokens, would never run.
    """
    if os.environ.get(_AUTH) == mode:
        return
    if mode is None:
        del os.environ[_AUTH]
    else:
        os.environ[_AUTH] = mode
    _raylet().Config.initialize("")
    _raylet().AuthenticationTokenLoader.instance().reset_cache()


def _has_token() -> bool:
    loader = _raylet().AuthenticationTokenLoader.instance()
    return bool(loader.has_token(ignore_auth_mode=True))


def _raylet() -> Any:
    """Ray's compiled module, of which no checker knows the names."""
    return importlib.import_module("ray._raylet")


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
            try:
                ray.init(address or "local", **options)
            except (RayError, OSError, RuntimeError):
                # `ray start` wants a token as soon as there is one; `ray.init` sends none.
                if not address or _AUTH in os.environ or not _has_token():
                    raise
                ray.shutdown()
                _set_auth("token")
                ray.init(address, **options)
    except (RayError, OSError, RuntimeError, ValueError, ImportError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> UsageError:
    what = f'address: the Ray cluster at "{address}" cannot be reached'
    remedy = (
        "is it up (`ray status`), and of the same versions of Ray and Python? If it wants a "
        "token: RAY_AUTH_MODE=token, with RAY_AUTH_TOKEN or ~/.ray/auth_token. Without it, "
        "--executor processes goes on with a study on this machine"
    )
    if not address:
        what, remedy = "a Ray cluster of this machine cannot be started", "see /tmp/ray"
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return UsageError(f"{what}: {first_line}; {remedy}")


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
            raise NoRoomError(
                f"num_{name.lower()}s: expected at most 1, or a whole number, got {amount:g}"
            )
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    asked = asked | {"memory": (memory_gb or 0.0) * _GIB}
    asked = {name: amount for name, amount in asked.items() if amount > 0}
    places = sum(min(_fit(n, node.get(n, 0.0), a) for n, a in asked.items()) for node in nodes)
    if places >= workers:
        return
    has = " and ".join(_in_words({name: node.get(name, 0.0) for name in asked}) for node in nodes)
    _no_room(address, workers, asked, has or "no node", places)


def _no_room(
    address: str, workers: int, asked: Mapping[str, float], has: str, places: int
) -> NoReturn:
    where = f'the cluster at "{address}"' if address else "this machine"
    raise NoRoomError(
        f"workers: {workers} were asked for, each with {_in_words(asked)}; "
        f"{where} has {has}, which is room for {places}; ask for fewer workers, or "
        "for less (fractions too) with num_cpus, num_gpus or memory_gb"
    )


def _fit(name: str, total: float, amount: float) -> int:
    """How many workers a node has room for; one that takes part of a GPU takes it of one alone."""
    if name == "GPU" and amount < 1:
        return int(total) * int(1 / amount + 1e-9)
    return int(total / amount + 1e-9)


def _in_words(resources: Mapping[str, float]) -> str:
    return ", ".join(
        f"{amount / _GIB:.3g} GiB" if name == "memory" else f"{amount:g} {name}"
        for name, amount in resources.items()
    )
