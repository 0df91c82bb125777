"""What can go wrong round an evaluation: what may pass by itself, and what is a program's fault."""

import sys
import sysconfig
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluators.preparation import Work
from evaluators.values import InfrastructureError
from search_spaces import UsageError

# Seconds before each repetition of what failed for want of a disk, a connection, a worker.
PAUSES = (0.2, 1.0, 5.0)
_NAMED = 3


@dataclass
class Attempts:
    """How often something was tried in vain."""

    failed: int = 0
    began: float = field(default_factory=time.monotonic)

    def pause(self, error: BaseException, where: str = "") -> float:
        """How many seconds to wait before the next attempt.

        Args:
            error: of the attempt that has just failed.
            where: as from `place`.

        Raises:
            InfrastructureError: it was the last.
        """
        if self.failed < len(PAUSES):
            self.failed += 1
            return PAUSES[self.failed - 1]
        first_line = (str(error).splitlines() or [""])[0]
        at = f" (at {where})" if where else ""
        raise InfrastructureError(
            f"an evaluation failed {self.failed + 1} times in {time.monotonic() - self.began:.0f} "
            f"s, and not by its own fault: {type(error).__name__}: {first_line}{at}; nothing that "
            "has ended is lost: mend the cause, and `nas resume` goes on"
        ) from error


def may_pass(error: BaseException) -> bool:
    """Whether trying again may help: the disk, the network, another machine."""
    if isinstance(error, UsageError):  # a file that cannot be used, because of the disk?
        return error.__cause__ is not None and may_pass(error.__cause__)
    return isinstance(error, OSError)


def place(error: BaseException, jobs: Sequence[Work] = ()) -> str:
    """The file and line of the innermost frame that is ours or a plug-in's."""
    packages = {"search_spaces", "evaluators", "nas"}
    for job in jobs:
        names = (job.plugin.name, getattr(job.space.build, "__module__", ""))
        packages |= {name.partition(".")[0] for name in names}
    frames = [
        (str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [frame for frame in frames if _is_own(frame[0], frame[1], packages)] or frames
    if not own:
        return ""
    _, file, line = own[-1]
    return f"{file}:{line}"


def _is_own(module: str, file: str, packages: set[str]) -> bool:
    package = module.partition(".")[0]
    if package in packages:
        return True
    if package in sys.stdlib_module_names:
        return False
    installed = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    return not any(Path(file).is_relative_to(folder) for folder in installed if folder)


def located(where: str, jobs: Sequence[Work]) -> str:
    """What a programming error is to say besides: where, and of which jobs."""
    shown = [job.label for job in jobs[:_NAMED]]
    if len(jobs) > _NAMED:
        shown.append(f"{len(jobs) - _NAMED} more")
    of = " or ".join(shown)
    return " ".join(part for part in (where and f"at {where}", of and f"evaluating {of}") if part)
