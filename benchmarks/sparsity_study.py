"""Architecture, densities and bits, searched together on Cora, beside drawing them at random.

Both have the same space, the same objectives - validation accuracy and bytes - and as many trials,
of as many epochs. Validation chooses each front; its members are trained again on fresh seeds, and
what counts is the hypervolume of their test accuracy and the logarithm of their bytes. Searches are
paired by their seeds; the differences are printed as they come.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from quantization_accuracy import interval
from quantization_searching import Searcher, volume
from reporting import Row, bounded, row, table

SEARCH = "nsga2:population=8"
_BITS = {"weight_bits": [2, 4, 8], "activation_bits": [8]}
_SPARSITY = {
    "method": ["granet"],
    "weight_density": [0.1, 0.3, 1.0],
    "edge_density": [0.8, 1.0],
    "over_epochs": [30],
}
EXTENSIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "searched": {"quantization": _BITS, "sparsity": _SPARSITY}
}
# {what it is called here: the strategy, and what it decides}
WAYS: Mapping[str, tuple[str, str]] = {
    "searched together": (SEARCH, "searched"),
    "drawn at random": ("random", "searched"),
}


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    epochs, trials, fresh, seeds = (35, 12, 1, 2) if quick else (100, 24, 2, 3)
    searcher = Searcher("Cora", epochs, trials, fresh, data_root, keep, EXTENSIONS)
    ends = searcher.ends()
    volumes = {
        label: [volume(searcher.members(*way, seed), *ends) for seed in range(seeds)]
        for label, way in WAYS.items()
    }
    together, *others = volumes
    made, lines = list[Row](), {}
    for label, values in volumes.items():
        made.append(row(f"Cora, {label}", "hypervolume of the front", fmean(values)))
        lines[label] = [f"{fmean(values):.4f}", ", ".join(f"{v:.3f}" for v in values), ""]
        if label in others:
            more = [a - b for a, b in zip(volumes[together], values, strict=True)]
            low, high = interval(more, 0.05)
            lines[label][2] = f"{fmean(more):+.4f} ({low:+.4f} to {high:+.4f})"
            one = row(f"Cora, {label}", "searched together, more than it", fmean(more))
            made.append(bounded(one, ">", 0) if label == others[0] else one)
    title = (
        "Cora: hypervolume of test accuracy above 0.5 and the logarithm of bytes, "
        f"{trials} trials of {epochs} epochs, {seeds} searches"
    )
    columns = ("", "mean", "of each", "together, more, 95 % interval")
    return made, table(title, columns, lines)
