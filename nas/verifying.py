"""Whether a bundle is what it says: what `nas verify` does.

Hashes and digest, programs against each other and against the network that is built again of
weights and recipe, validation metrics on the dataset, and, as a fact, the time here. Labels of the
test split are not read.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from nas.export._base import BundleError
from nas.export._manifest import NAME, Manifest
from nas.export._reading import read_manifest
from nas.export.load import check_file
from nas.verifying_accuracy import Data, accuracy, data_for
from nas.verifying_parity import opened, parity
from nas.verifying_state import state
from search_spaces import UsageError
from search_spaces.plugins import Plugin

_LEAST_DIGITS = 12
_HEX = frozenset("0123456789abcdef")
What: TypeAlias = Literal[
    "manifest", "file", "digest", "load", "parity", "architecture", "state", "accuracy", "latency"
]


class VerifyError(UsageError):
    """Nothing that could be verified, or a digest that is none."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        check: what.
        program: the exporter of the program that it is of, or the file; empty for the whole bundle.
        ok: whether it holds; None where it was skipped, or is a fact.
        value, expected: what was found, and what should have been.
        detail: how it was looked at, or why it was skipped.
    """

    check: What
    program: str
    ok: bool | None
    value: Any = None
    expected: Any = None
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """One row."""
        return asdict(self)


@dataclass(frozen=True)
class Verified:
    """All that was looked at."""

    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing failed; what was skipped does not count."""
        return all(check.ok is not False for check in self.checks)


def verify(
    folder: Path | str,
    digest: str | None = None,
    *,
    dataset: Plugin | None = None,
    data_root: Path | str = Path("data"),
    latency: bool = True,
    told: Callable[[str], None] = lambda _: None,
) -> Verified:
    """Look at all that a bundle says of itself; a program is opened only where its files hold.

    Args:
        folder: of the bundle.
        digest: that it must have: all 64 hex digits, or at least the first twelve.
        dataset: a copy of the dataset, in place of the one that the recipe names.
        data_root: where raw datasets lie.
        latency: whether to time its first program here.
        told: what is being done.

    Raises:
        VerifyError: there is no bundle; or no digest can begin so.
    """
    folder = Path(folder)
    wanted = _checked(digest)
    if not (folder / NAME).exists():
        raise VerifyError(f"{folder} is not a bundle: it has no {NAME}; name what nas export wrote")
    checks = _Found()
    manifest = checks.manifest(folder)
    if manifest is not None and checks.files(folder, manifest, wanted):
        data = data_for(folder, manifest, dataset, Path(data_root), told)
        checks.rest(folder, manifest, data, told, latency=latency)
    return Verified(tuple(checks.all))


def _checked(digest: str | None) -> str | None:
    if digest is None:
        return None
    wanted = digest.lower()
    if not _LEAST_DIGITS <= len(wanted) <= 64 or not set(wanted) <= _HEX:
        raise VerifyError(
            f"digest: expected {_LEAST_DIGITS} to 64 hex digits, as nas export prints them, got "
            f"{digest!r}"
        )
    return wanted


class _Found:
    """What was looked at so far."""

    def __init__(self) -> None:
        self.all: list[Check] = []

    def manifest(self, folder: Path) -> Manifest | None:
        """The manifest, if it holds."""
        try:
            manifest = read_manifest(folder)
        except BundleError as error:
            self.all.append(Check("manifest", "", False, detail=str(error)))
            return None
        said = "it follows the schema, and its digest is that of what it says"
        self.all.append(Check("manifest", "", True, detail=said))
        return manifest

    def files(self, folder: Path, manifest: Manifest, wanted: str | None) -> bool:
        """Whether all files hold, and it is the bundle that was asked for."""
        for name, entry in sorted(manifest.files.items()):
            try:
                check_file(folder / name, entry)
            except BundleError as error:
                self.all.append(Check("file", name, False, None, entry.sha256, str(error)))
            else:
                size = f"{entry.bytes:,} bytes"
                self.all.append(Check("file", name, True, entry.sha256, entry.sha256, size))
        self._digest(manifest, wanted)
        return all(check.ok is not False for check in self.all)

    def _digest(self, manifest: Manifest, wanted: str | None) -> None:
        found = manifest.digest
        if wanted is None:
            said = "compare it with the one that was told: --digest"
            self.all.append(Check("digest", "", None, found, None, said))
            return
        ok = found.startswith(wanted)
        said = "" if ok else "this is another bundle, or it was changed; nothing of it was opened"
        self.all.append(Check("digest", "", ok, found, wanted, said))

    def rest(
        self,
        folder: Path,
        manifest: Manifest,
        data: Data,
        told: Callable[[str], None],
        *,
        latency: bool,
    ) -> None:
        """Of whatever needs a program."""
        programs = opened(folder, manifest, told)
        self._take(programs.rows)
        self._take(parity(folder, manifest, programs.runnable, data.sample, told))
        self._take(state(folder, manifest, told))
        first = manifest.programs[0].exporter
        self._take(accuracy(manifest, programs.runnable.get(first), data, told))
        if latency:
            told(f"timing {first} on this device")
            self.all.append(_latency(folder, manifest))

    def _take(self, rows: Iterator[tuple[Any, ...]] | list[tuple[Any, ...]]) -> None:
        self.all += [Check(*row) for row in rows]


def _latency(folder: Path, manifest: Manifest) -> Check:
    from nas.latency.measure import measure_bundle

    first = manifest.programs[0].exporter
    told = next(iter(manifest.latency), None)
    expected = None if told is None else told.latency_ms
    try:
        (measured,) = measure_bundle(folder)
    except UsageError as error:
        return Check("latency", first, None, None, expected, f"skipped: {error}")
    size, timing = measured.workload, measured.timing
    noisy = f"; noisy: {measured.warning}" if timing.noisy else ""
    beside = "" if told is None else f"; {told.by} for {told.device}, without its preparation"
    detail = f"a fact, in ms, on {size.nodes:,} nodes and {size.edges:,} edges{noisy}{beside}"
    return Check("latency", first, None, timing.latency_ms, expected, detail)
