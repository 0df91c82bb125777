"""How much a client may ask for, and what is said where it asks for more."""

from dataclasses import dataclass

from search_spaces import UsageError

MEBIBYTE = 2**20
# Of one request: a graph without nodes is a row of the answer and no byte of the question.
MOST_GRAPHS = 100_000
# Of one list: each is a forward of its own for a node task.
MOST_LISTED = 1_000
# Twice what proxies wait for an answer.
FORWARD_S = 120.0


class RequestError(UsageError):
    """A request that is refused, with the status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class OverdueError(RequestError):
    """A forward that took too long, with all graphs that were joined for it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            504,
            f"the program was ended after {seconds:g} seconds without an answer; ask with a "
            "smaller graph, or start with a longer --forward-timeout",
        )


@dataclass(frozen=True)
class Limits:
    """What one client may take.

    Attributes:
        request_bytes: of a body.
        json_bytes: of a body of JSON, which takes twenty times its size while it is read.
        nodes, edges: of one graph; None for as many as a body can hold.
        seconds: for sending a request, for taking the answer, and between two requests.
        forward_seconds: for one forward.
    """

    request_bytes: int = 256 * MEBIBYTE
    json_bytes: int = 8 * MEBIBYTE
    nodes: int | None = None
    edges: int | None = None
    seconds: float = 60.0
    forward_seconds: float = FORWARD_S

    @property
    def held_bytes(self) -> int:
        """Of all bodies that are held at once."""
        return 4 * self.request_bytes


class Held:
    """Counts the bytes of the bodies that are held; used by the event loop alone."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = 0

    def take(self, n_bytes: int) -> None:
        """Count them in.

        Raises:
            RequestError: they would be too many.
        """
        if self.now + n_bytes > self.most:
            raise RequestError(
                503, "too many large requests at once; try again when the others are answered"
            )
        self.now += n_bytes

    def give(self, n_bytes: int) -> None:
        """Count them out."""
        self.now -= n_bytes
