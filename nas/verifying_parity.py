"""Programs of a bundle against each other, and against the network that is built again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from nas.export._apart import apart, graphs_for
from nas.export._architecture import architecture_of
from nas.export._base import BundleError, ElsewhereError, Exporter, ExportError, Runnable
from nas.export._manifest import WEIGHTS, Manifest, Program
from nas.export._parity import COARSE
from nas.export._rebuilt import NotRebuiltError, rebuilt
from nas.export.load import exporter_of
from search_spaces import plugins

Row = tuple[Any, ...]
Told = Callable[[str], None]


@dataclass(frozen=True)
class Opened:
    """The programs that can run here, by exporter, and a row for each of all."""

    runnable: Mapping[str, Runnable] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


def opened(folder: Path, manifest: Manifest, told: Told) -> Opened:
    """Open each program; what is not for this machine, or needs what is not here, is skipped."""
    runnable: dict[str, Runnable] = {}
    rows: list[Row] = []
    for program in manifest.programs:
        name = program.exporter
        if name not in plugins.names("exporter"):
            why = "skipped: its exporter did not come with this program"
            rows.append(("load", name, None, None, program.file, why))
            continue
        told(f"opening {program.file}")
        try:
            runnable[name] = exporter_of(folder, manifest, name).open(folder)
        except ElsewhereError as error:
            rows.append(("load", name, None, None, program.file, f"skipped: {error}"))
        except BundleError as error:
            rows.append(("load", name, False, None, program.file, str(error)))
        except (ExportError, ImportError) as error:
            # A package that runs it is not installed.
            rows.append(("load", name, None, None, program.file, f"skipped: {error}"))
        else:
            rows.append(("load", name, True, program.file, program.file, ""))
    return Opened(runnable, rows)


def parity(
    folder: Path,
    manifest: Manifest,
    programs: Mapping[str, Runnable],
    sample: tuple[Tensor, ...] | None,
    told: Told,
) -> Iterator[Row]:
    """A row for each program beside the rebuilt network, and beside the first that runs."""
    try:
        architecture_of(folder, manifest)
        yield "architecture", "", True, manifest.architecture, manifest.architecture, ""
    except BundleError as error:
        yield "architecture", "", False, None, manifest.architecture, str(error)
        return
    entries = {each.exporter: each for each in manifest.programs if each.exporter in programs}
    graphs = graphs_for(manifest, sample)
    references: list[tuple[str, Callable[..., Tensor]]] = []
    try:
        told(f"building the network of {WEIGHTS} again")
        references.append((WEIGHTS, rebuilt(folder, manifest)))
    except NotRebuiltError as error:
        yield "parity", "", None, None, None, f"not compared with {WEIGHTS}: {error}"
    except BundleError as error:
        yield "parity", "", False, None, None, str(error)
    first = next(iter(entries), None)
    if first is not None:
        references.append((first, programs[first]))
    for against, reference in references:
        for name, entry in entries.items():
            if name != against:
                told(f"running {name} beside {against} on {len(graphs)} graphs")
                other = entries.get(against)
                yield _compared(manifest, entry, programs[name], against, other, reference, graphs)


def _compared(
    manifest: Manifest,
    entry: Program,
    program: Runnable,
    against: str,
    other: Program | None,
    reference: Callable[..., Tensor],
    graphs: list[tuple[str, tuple[Tensor, ...]]],
) -> Row:
    both = [each for each in (entry, other) if each is not None]
    # What was made for the values of one graph is compared on that alone.
    own_alone = any(len(each.parity.graphs) == 1 for each in both)
    if own_alone:
        graphs = [each for each in graphs if each[0] == "the dataset's graph"]
        if not graphs:
            why = "it holds on its own graph alone, and the dataset is not here"
            return "parity", entry.exporter, None, None, None, f"skipped, beside {against}: {why}"
    in_mean = any(each.parity.mean_difference is not None for each in both)
    allowed, most = sum(each.parity.tolerance for each in both), _most(manifest, both, in_mean)
    found = apart(program, reference, manifest.contract, graphs)
    value = found.mean if in_mean else found.largest
    how = "in the mean" if in_mean else f"at most, on {found.where}"
    detail = found.fault or f"beside {against} on {len(graphs)} graphs, relative, {how}"
    if allowed > most:
        detail = (
            f"the manifest allows {allowed:.3g}, its exporter no more than {most:.3g}; {detail}"
        )
    ok = not found.fault and value <= allowed <= most
    return "parity", entry.exporter, ok, None if found.fault else value, allowed, detail


def _most(manifest: Manifest, both: list[Program], in_mean: bool) -> float:
    """What exporters may allow: a manifest can be written by anyone."""
    if in_mean:
        return COARSE * len(both)
    known = plugins.names("exporter")
    made: list[Exporter] = [
        plugins.load("exporter", each.exporter).build()
        for each in manifest.programs
        if each.exporter in known
    ]
    return max(exporter.tolerance for exporter in made) * len(both)
