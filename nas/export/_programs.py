"""The programs of a bundle: one for each format, and always one of torch.export."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from nas._tables import STATE
from nas.export._base import Contract, Exporter, ExportError, Runnable, Written
from nas.export._compared import Graphs, parity_of
from nas.export._manifest import Program
from nas.export._products import EXPORTERS, Products
from search_spaces import PluginError, plugins
from search_spaces.errors import did_you_mean
from search_spaces.quantization.codes import Codes

# Runs wherever torch does, so it is in every bundle.
PORTABLE = "pt2"
_OF_ANOTHER = (
    "{} computes what {} does, rounding included, by plain operations; for the network without "
    "that, export pt2 by itself."
)


@dataclass(frozen=True)
class Programs:
    """What was written.

    Attributes:
        entries: of the manifest; the first is the one that was asked for first.
        first: that one, read back.
        files: all of them.
        codes: the weights that one of them has as integers.
        notes: for whoever deploys them.
    """

    entries: tuple[Program, ...]
    first: Runnable
    files: tuple[Path, ...]
    codes: Mapping[str, Codes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def planned(formats: Sequence[str]) -> dict[str, Exporter]:
    """The exporters to use, in order, each once; `pt2` is the last where it was not asked for.

    Raises:
        ExportError: two of them write the same file.
        PluginError: there is no such format.
    """
    ours = plugins.names("exporter")
    for name in formats:
        if "." not in name and name not in ours:
            raise PluginError(f'no format is called "{name}"; {did_you_mean(name, (*ours, STATE))}')
    found: dict[str, Exporter] = {
        name: plugins.load("exporter", name).build() for name in (*formats, PORTABLE)
    }
    by_file: dict[str, str] = {}
    for name, exporter in found.items():
        other = by_file.setdefault(exporter.file, name)
        if other != name:
            raise ExportError(
                f"{other} and {name} both write {exporter.file}; export them to two folders"
            )
    return found


def write_programs(
    folder: Path,
    exporters: Mapping[str, Exporter],
    leaving: nn.Module,
    products: Products,
    contract: Contract,
    searched: Callable[..., Tensor],
    graphs: Graphs,
    told: Callable[[str], None] = lambda _: None,
) -> Programs:
    """Write a program for each exporter, run each again from its file, and compare it.

    Args:
        folder: of the bundle.
        exporters: see `planned`.
        leaving: what is written.
        products: how pruned weights are multiplied, by exporters that leave that to the network.
        contract: what programs take and give.
        searched: what each must compute.
        graphs: on which they are compared; the first is a real one, where there is any.
        told: which file is being written.

    Raises:
        ExportFailedError: a program cannot be written, or differs from its network by more than
            its exporter allows.
    """

    def made(name: str, network: nn.Module, like: "_Made | None" = None) -> _Made:
        exporter = exporters[name]
        told(f"writing {exporter.file}")
        written = exporter.write(network, contract, folder, graphs[0])
        if like is not None:
            written = _alike(written, like, exporter)
        program = exporter.open(folder)
        judge = exporter if like is None else like.exporter
        parity = parity_of(program, searched, contract, graphs, written, judge)
        entry = Program(exporter=name, file=exporter.file, parity=parity)
        return _Made(exporter, written, entry, program)

    done = {
        name: made(name, products.executed(leaving) if name in EXPORTERS else leaving)
        for name in exporters
        if name != PORTABLE
    }
    # Last: what it is written of, another one may say.
    rounded = next((each for each in done.values() if each.written.portable is not None), None)
    if rounded is not None and rounded.written.portable is not None:
        done[PORTABLE] = made(PORTABLE, rounded.written.portable, rounded)
    else:
        done[PORTABLE] = made(PORTABLE, products.executed(leaving))
    return _together([done[name] for name in exporters])


@dataclass(frozen=True)
class _Made:
    exporter: Exporter
    written: Written
    entry: Program
    program: Runnable


def _alike(written: Written, like: _Made, exporter: Exporter) -> Written:
    """What is compared as another program is, whose numbers it computes."""
    return Written(
        written.files,
        (_OF_ANOTHER.format(exporter.file, like.exporter.file),),
        mean_tolerance=like.written.mean_tolerance,
        sample_only=like.written.sample_only,
    )


def _together(done: Sequence[_Made]) -> Programs:
    written = [each.written for each in done]
    return Programs(
        entries=tuple(each.entry for each in done),
        first=done[0].program,
        files=tuple(file for each in written for file in each.files),
        codes={name: codes for each in written for name, codes in each.codes.items()},
        notes=tuple(dict.fromkeys(note for each in written for note in each.notes)),
    )
