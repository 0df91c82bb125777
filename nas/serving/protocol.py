"""What a connection may take before there is a request: bytes of its head, and seconds.

uvicorn closes connections that are idle between two requests. It would wait forever for the end of
a head, keep one of any size, and keep an answer that nobody takes.
"""

import asyncio
import json
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 2**16
# What the parser of URLs takes.
_MOST_URL_BYTES = 2**16 - 1
# How long is still read what nobody wants, so that the client comes to read why.
LINGERING_S = 2.0


class Bounded(HttpToolsProtocol):
    """A connection whose head comes in time and is small, and whose answers are taken in time.

    `Config.timeout_keep_alive` is how long each may take.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.url = b""
        self._heads = 0
        self._head_bytes = 0
        self._is_head = True
        self._is_refused = False
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        was_head, heads = self._is_head, self._heads
        super().data_received(data)
        if was_head and self._is_head and self._heads == heads:  # a piece of one, no more
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self._refuse_head()

    def on_headers_complete(self) -> None:
        self._is_head = False
        self._heads += 1
        self._head_bytes = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_head:  # what follows a body is of no use here
            super().on_header(name, value)

    def on_message_complete(self) -> None:
        self._is_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self.loop.call_later(self.timeout_keep_alive, self.transport.abort)
        elif self.cycle.response_complete:
            self._expect_head()

    def timeout_keep_alive_handler(self) -> None:
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        error = sys.exception()  # what the parser stumbled over, or what it called
        if error is not None and isinstance(error.__context__, MemoryError):
            self._refuse(b"503 Service Unavailable", "there is not enough memory now; try again")
            return
        if len(self.url) > _MOST_URL_BYTES:
            self._refuse_head()
            return
        said = "a URL that cannot be read" if error is None or error.__context__ else str(error)
        said = said[:1].lower() + said[1:]
        self._refuse(b"400 Bad Request", f"the request is not HTTP/1.1: {said}")

    def _refuse_head(self) -> None:
        if len(self.url) >= MOST_HEAD_BYTES // 2:
            self._refuse(b"414 URI Too Long", "the URL is too long; see /docs for what is here")
        else:
            self._refuse(b"431 Request Header Fields Too Large", "the head is too large")

    def _expect_head(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, status: bytes, error: str) -> None:
        body = json.dumps({"error": error}).encode()
        self.transport.write(
            b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: " + str(len(body)).encode() + b"\r\n\r\n" + body
        )
        # Closed on a client that is still sending, it would take the answer from it.
        self._is_refused = True
        self.transport.write_eof()
        self.loop.call_later(LINGERING_S, self.transport.abort)
