"""All that has ended, as a value that grows in constant time."""

from collections.abc import Iterator, Sequence
from typing import overload

from nas.strategies._base import Finished


class Log(Sequence[Finished]):
    """The ended trials in their order, with an index of what was evaluated.

    Every log is a value: `append` returns another one. Those that grew out of each other share one
    list, of which each sees its own length only, so that folding n trials costs n steps and not n
    squared; a log that grows a second time copies its part first.
    """

    __slots__ = ("_first", "_length", "_trials")

    def __init__(self) -> None:
        self._trials: list[Finished] = []
        self._first: dict[str, int] = {}
        self._length = 0

    def append(self, finished: Finished) -> "Log":
        """The log with one more trial."""
        grown = Log()
        if self._length == len(self._trials):
            grown._trials, grown._first = self._trials, self._first
        else:
            grown._trials = self._trials[: self._length]
            grown._first = {k: i for k, i in self._first.items() if i < self._length}
        grown._trials.append(finished)
        grown._first.setdefault(finished.architecture.key, self._length)
        grown._length = self._length + 1
        return grown

    def has(self, key: str) -> bool:
        """Whether an architecture with this key has ended."""
        return self._first.get(key, self._length) < self._length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Finished]:
        return (self._trials[i] for i in range(self._length))

    @overload
    def __getitem__(self, index: int) -> Finished: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Finished, ...]: ...
    def __getitem__(self, index: int | slice) -> Finished | tuple[Finished, ...]:
        at = range(self._length)[index]
        if isinstance(at, range):
            # A whole prefix is one slice of the list; the list itself may be longer.
            if at.start == 0 and at.step == 1:
                return tuple(self._trials[: at.stop])
            return tuple(self._trials[i] for i in at)
        return self._trials[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Log) and self[:] == other[:]

    def __hash__(self) -> int:
        return hash(self[:])

    def __repr__(self) -> str:
        return f"Log({list(self[:])!r})"
