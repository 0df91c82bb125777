"""The errors a user can cause. Each message says what was expected, what came, and the remedy."""

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Something the user wrote cannot be used: a study file, an option, a plug-in, a graph.

    The command line prints the message alone and exits with status 2.
    """


class SpaceError(UsageError):
    """A decision, an architecture or a search space that contradicts itself."""


class PluginError(UsageError):
    """A plug-in that does not exist, or options that it does not take."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or all of them.

    >>> did_you_mean("evolutoin", ["random", "evolution"])
    'did you mean "evolution"?'
    """
    names = sorted(known)
    by_lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    if close:
        return f'did you mean "{by_lower[close[0]]}"?'
    if len(names) == 1:
        return f'expected "{names[0]}"'
    return f"expected one of: {', '.join(names)}" if names else "none is there to choose from"
