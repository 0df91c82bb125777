"""Whether this process has been asked to stop what it evaluates at the next epoch.

Evaluators whose candidates train for long ask `requested()` between epochs; where it says so, they
return what they have as `Evaluation(..., early="stopped")` with a checkpoint to go on from.
"""

# A plain value, not an Event: it is set inside of signal handlers, which must take no lock.
_asked = False


def request() -> None:
    """Ask; stays so until `clear`."""
    global _asked
    _asked = True


def clear() -> None:
    """Forget it."""
    global _asked
    _asked = False


def requested() -> bool:
    """Whether somebody has asked."""
    return _asked
