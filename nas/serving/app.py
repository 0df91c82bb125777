"""The endpoints: from a request to an answer, whatever comes."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from nas.export.load import Contents
from nas.hosts import Hosts
from nas.serving import answers
from nas.serving.batching import Forwards
from nas.serving.bodies import BINARY, JSON, of_binary, of_json
from nas.serving.graphs import checked
from nas.serving.limits import MEBIBYTE, Held, Limits, RequestError
from nas.serving.named import Named
from nas.serving.openapi import description
from nas.serving.page import page
from nas.serving.program import ProgramError, no_memory
from nas.serving.reading import kind_of, read, wanted
from nas.serving.refusing import Logged, Refusal
from search_spaces import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Service:
    """A bundle, and what answers for it.

    Attributes:
        away: why its program cannot be asked now; None where it can.
        digest: SHA-256 of the file of the manifest.
        held: the bodies that are held now.
    """

    bundle: Contents
    forwards: Forwards
    away: Callable[[], str | None]
    limits: Limits
    digest: str
    held: Held
    started: float = field(default_factory=time.monotonic)


def make_app(
    service: Service, url: str, log: Callable[[str], None] | None, hosts: Hosts | None = None
) -> ASGIApp:
    """The application.

    Args:
        url: where it is, for its page.
        log: is told of each request in a line; None for of none.
        hosts: the names that it is asked by; without them, those of this machine alone.
    """
    bundle = service.bundle
    own_graph = bundle.graph is not None
    described = description(bundle.manifest.contract, service.limits, own_graph=own_graph)
    documented, manifest = page(described, url), bundle.manifest.to_json()

    async def predict(request: Request) -> Response:
        return await _predict(service, request)

    async def health(_request: Request) -> Response:
        up, reason = round(time.monotonic() - service.started, 3), service.away()
        said = {"ready": reason is None, "manifest_sha256": service.digest, "uptime_seconds": up}
        if reason is None:
            return JSONResponse(said)
        return JSONResponse({**said, "reason": reason}, 503)

    routes = [
        Route("/predict", predict, methods=["POST"]),
        Route("/health", health, methods=["GET"]),
        Route("/manifest", _constant(lambda: JSONResponse(manifest)), methods=["GET"]),
        Route("/openapi.json", _constant(lambda: JSONResponse(described)), methods=["GET"]),
        Route("/docs", _constant(lambda: HTMLResponse(documented)), methods=["GET"]),
    ]
    app = Starlette(
        routes=routes, exception_handlers={HTTPException: _no_such_place, Exception: _failed}
    )
    app.router.redirect_slashes = False
    return Logged(Named(app, hosts or Hosts()), log)


def _constant(make: Callable[[], Response]) -> Callable[[Request], Any]:
    async def give(_request: Request) -> Response:
        return make()

    return give


async def _predict(service: Service, request: Request) -> Response:
    contract, taken = service.bundle.manifest.contract, 0
    try:
        kind = kind_of(request)
        body = await read(request, kind, service.limits, service.held)
        taken = len(body)
        parse = of_json if kind == JSON else of_binary

        def graphs() -> tuple[list[Any], bool]:
            given, is_list = parse(contract, body)
            found = []
            for index, one in enumerate(given):
                with _of_graph(index, is_list=is_list):
                    found.append(checked(service.bundle, one, service.limits))
            return found, is_list

        asked, is_list = await _aside(graphs, taken)
        logits = await asyncio.gather(*map(service.forwards.ask, asked))
        binary = wanted(request, kind) == BINARY

        def answer() -> bytes:
            if binary:
                return answers.to_binary(logits, is_list=is_list)
            return answers.to_json(contract, logits, is_list=is_list)

        size = sum(one.nbytes for one in logits) * (1 if binary else 20)
        return Response(await _aside(answer, size), media_type=BINARY if binary else JSON)
    except RequestError as error:
        return Refusal(error.status, str(error))
    except UsageError as error:
        return Refusal(422, str(error))
    except MemoryError:
        refused = no_memory()
        return Refusal(refused.status, str(refused))
    except ProgramError as error:
        return Refusal(500, f"the program failed on a graph that its contract allows: {error}")
    except ClientDisconnect:
        return Response(status_code=499)
    finally:
        service.held.give(taken)


@contextmanager
def _of_graph(index: int, *, is_list: bool) -> Iterator[None]:
    """Say which graph of a list is meant."""
    try:
        yield
    except UsageError as error:
        if not is_list:
            raise
        status = error.status if isinstance(error, RequestError) else 422
        raise RequestError(status, f"graph {index}: {error}") from error


async def _aside(work: Callable[[], T], n_bytes: int) -> T:
    """What takes long is done in a thread, so that others are answered meanwhile."""
    if n_bytes <= MEBIBYTE:
        return work()
    try:
        return await asyncio.to_thread(work)
    except RuntimeError as error:
        if "start new thread" in str(error):
            raise MemoryError from error
        raise


async def _no_such_place(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path[:80]
    said = {
        404: f"there is no {path} here; see /docs",
        405: f"{path} does not take {request.method}; see /docs",
    }.get(error.status_code, error.detail)
    return Refusal(error.status_code, said, error.headers)


async def _failed(_request: Request, _error: Exception) -> Response:
    return Refusal(500, "the server failed; its log says where")
