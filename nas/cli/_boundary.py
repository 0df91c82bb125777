"""Where every exception of a command ends: one line on stderr and an exit status."""

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import NoReturn

import click

from nas.cli._shared import DEBUG, QUIET

FAILED, USAGE, INTERRUPTED = 1, 2, 130
_OUTCOMES = (
    ("nas.driver", "StudyFailedError"),
    ("nas.retraining", "ConfirmError"),
    ("nas.compare", "ComparisonError"),
    ("nas.sparse", "SparseTrainingError"),
    ("nas.store.failures", "StoreFailedError"),
    ("evaluators.values", "InfrastructureError"),
    ("nas.export._base", "ExportFailedError"),
    ("nas.cli._streams", "StdoutError"),
)


@contextmanager
def boundary(ctx: click.Context) -> Iterator[None]:
    """Turn what a command raises into a line and a status; click's own exceptions pass through."""
    # Plug-ins with a dotted name may lie beside the study file; last, so that they hide nothing.
    sys.path.append(str(os.getcwd()))  # noqa: PTH109
    warnings.showwarning = partial(_warn, ctx)
    with _terminated_as_interrupted():
        try:
            yield
            sys.stdout.flush()
        except (click.exceptions.Exit, click.ClickException):
            raise
        except (KeyboardInterrupt, click.Abort):
            _say(ctx, "interrupted")
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader (`| head`) has seen enough. What Python flushes at exit must not fail.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except Exception as error:  # the documented fault boundary of the program
            ctx.exit(_report(ctx, error))


def _report(ctx: click.Context, error: Exception) -> int:
    from search_spaces.errors import UsageError

    if isinstance(error, UsageError) or _is_outcome(error):
        _say(ctx, f"error: {error}")
        return FAILED if _is_outcome(error) else USAGE
    hint = "" if ctx.meta.get(DEBUG) else "; --debug shows the traceback"
    message = " ".join(str(error).split())
    # An evaluation's has a note: where in which file, and of which architecture.
    notes = getattr(error, "__notes__", [])
    from evaluators.errors import located, place

    where = notes[0].splitlines()[0] if notes else located(place(error), ())
    where = f" ({where})" if where else ""
    _say(ctx, f"error: {type(error).__name__}: {message}{where}{hint}")
    return FAILED


def _is_outcome(error: Exception) -> bool:
    """Whether it is how a study can end, and no fault of the program."""
    # What raised it is imported already; what is not imported is heavy, and did not raise it.
    return any(
        module in sys.modules and isinstance(error, getattr(sys.modules[module], name))
        for module, name in _OUTCOMES
    )


def _warn(
    ctx: click.Context,
    message: Warning | str,
    category: type[Warning],
    *_where: object,
    **_named: object,
) -> None:
    """A warning as one line, without the place in the source that gave it.

    What libraries are going to change is for those who develop this, not for its users.
    """
    is_for_users = not issubclass(category, DeprecationWarning | FutureWarning)
    if is_for_users and not ctx.meta.get(QUIET):
        click.echo(f"warning: {message}", err=True)


def _say(ctx: click.Context, line: str) -> None:
    if ctx.meta.get(DEBUG):
        click.echo(traceback.format_exc(), err=True, nl=False)
    click.echo(line, err=True)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM closes trials as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        if os.getpid() != owner:  # a forked worker, which has no trials to close
            os._exit(128 + number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
