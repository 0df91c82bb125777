"""Answers to what cannot be answered, each with the reason in words; and the log of all."""

import asyncio
import sys
import time
import traceback
from collections.abc import Callable, Mapping

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nas.serving.protocol import LINGERING_S


class Refusal(JSONResponse):
    """`{"error": ...}`.

    A body that has not been read whole is read a while longer and thrown away: a connection that
    is closed on a client that is still sending takes the answer from it.
    """

    def __init__(self, status: int, error: str, headers: Mapping[str, str] | None = None) -> None:
        more = {"Retry-After": "1"} if status == 503 else {}
        unread = {"Connection": "close"} if status in (408, 413, 415, 421, 503) else {}
        super().__init__({"error": error}, status, {**(headers or {}), **more, **unread})
        self._lingers = bool(unread)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._lingers:
            await super().__call__(scope, receive, send)
            return
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(LINGERING_S):
                while (await receive()).get("more_body"):
                    pass
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Logged:
    """Tells of each request its method, path, status and milliseconds, and nothing else of it.

    What is raised ends here, answered already: its type and place are told, and no values.
    """

    def __init__(self, app: ASGIApp, log: Callable[[str], None] | None) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:  # the fault boundary of the server
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.filename}:{frame.lineno}"
            print(f"error: {type(error).__name__} at {place}", file=sys.stderr, flush=True)
        if self._log:
            milliseconds = 1e3 * (time.perf_counter() - began)
            self._log(f"{scope['method']} {_path(scope)} {status} {milliseconds:.1f} ms")


def _path(scope: Scope) -> str:
    """As it came, so that it has no line breaks."""
    raw: bytes = scope.get("raw_path") or b""
    return raw[:120].decode("ascii", "backslashreplace")
