"""The bytes of a request's body: counted as they come, and given up where there are too many."""

import asyncio

from starlette.requests import Request

from nas.serving.bodies import BINARY, JSON, OCTETS
from nas.serving.limits import Held, Limits, RequestError


def kind_of(request: Request) -> str:
    """JSON or BINARY, by the header that says what the body is.

    Raises:
        RequestError: another type, another character set, or compressed.
    """
    given = request.headers.get("content-type", "")
    plain, _, rest = given.lower().partition(";")
    kind = {JSON: JSON, BINARY: BINARY, OCTETS: BINARY}.get(plain.strip())
    if kind is None:
        came = f"got {given[:60]!r}" if given else "none came"
        raise RequestError(
            415, f"expected a Content-Type of {JSON}, {BINARY} or {OCTETS}, {came}; set it"
        )
    charset = rest.strip().removeprefix("charset=").strip('" ') if "charset=" in rest else "utf-8"
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise RequestError(415, f"expected JSON in utf-8, got the charset {charset[:40]!r}")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RequestError(
            415, f"expected a body that is not compressed, got Content-Encoding {encoding[:40]!r}"
        )
    return kind


def wanted(request: Request, kind: str) -> str:
    """The form of the answer: what `Accept` names, else that of the request."""
    accepted = request.headers.get("accept", "").lower()
    named = [part.partition(";")[0].strip() for part in accepted.split(",")]
    for name in named:
        if name in (JSON, BINARY, OCTETS):
            return JSON if name == JSON else BINARY
    return kind


async def read(request: Request, kind: str, limits: Limits, held: Held) -> bytes:
    """The body; its bytes are counted in `held`, and stay so.

    Raises:
        RequestError: it is too large, or too slow.
        ClientDisconnect: the client has gone.
    """
    most = limits.json_bytes if kind == JSON else limits.request_bytes
    declared = int(request.headers.get("content-length", 0))  # digits, or the parser refuses it
    if declared > most:
        raise _too_large(kind, most, f"{declared} were announced")
    chunks: list[bytes] = []
    n_bytes = 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                n_bytes += len(chunk)
                if n_bytes > most:
                    raise _too_large(kind, most, "more came")
                held.take(len(chunk))
                chunks.append(chunk)
    except TimeoutError as error:
        held.give(sum(map(len, chunks)))
        raise RequestError(
            408,
            f"the body did not come within {limits.seconds:g} seconds, only {n_bytes} bytes of it",
        ) from error
    except BaseException:
        held.give(sum(map(len, chunks)))
        raise
    return b"".join(chunks)


def _too_large(kind: str, most: int, came: str) -> RequestError:
    binary = f"; {BINARY} takes fewer bytes and may have more" if kind == JSON else ""
    option = "--max-json-bytes" if kind == JSON else "--max-request-bytes"
    return RequestError(
        413, f"expected at most {most} bytes, {came}{binary}; or start with a larger {option}"
    )
