"""What must hold exactly of numbers of few bits.

- Weights that have left take at most 2^b values in each row that may have a scale of its own. Only
  rows that are longer than that are looked at; the control is the same rows in full precision.
- Integers give what fake quantization gives: benchmarks/quantization_integers.py.
- A bundle's weights take as much as is declared before training: benchmarks/quantization_files.py.
- A format that is ignored is noticed: three bits of one component alone change what every operator
  gives that has the component, and no other; the control has 32 bits.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from quantization_drawn import DATASET, OPERATORS, TASK, Drawn, drawn
from quantization_files import files
from quantization_integers import rows_of
from reporting import Row, bounded, row, table
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from search_spaces import plugins
from search_spaces.message_passing import ACTIVATIONS
from search_spaces.quantization.formats import FLOAT, FORMATS, Format
from search_spaces.quantization.layers import Precision, quantize, quantized_weights
from search_spaces.quantization.quantizers import Options

FEW = FORMATS["3"]
# What a module gives, with these formats.
Run: TypeAlias = Callable[[Precision | None], Tensor]


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows and tables; nothing is read or kept."""
    del data_root, keep
    count = 6 if quick else 100
    of_all_kinds, powers = ([*drawn(count, powers=only)] for only in (False, True))
    made = [
        *values(of_all_kinds),
        *rows_of(of_all_kinds, powers=False),
        *rows_of(powers, powers=True),
        *(one for component in vars(Precision()) for one in ignored(component)),
    ]
    of_files, text = files(quick)
    made += of_files
    lines = {f"{r['case']}: {r['measure']}": (f"{r['value']:.2g}", r["target"] or "") for r in made}
    must = table("what must hold", ("of what: what", "value", "target"), lines)
    return made, f"{must}\n{text}"


def values(networks: Sequence[Drawn]) -> list[Row]:
    """Of deployed weights, how many values they take."""
    within, beyond, seen = list[bool](), list[bool](), set[int]()
    for each in networks:
        left = each.space.deployed(each.network, each.architecture).state_dict()
        for name, weight, quantizer in quantized_weights(each.network):
            bits, both = quantizer.format.bits, (left[name], weight.detach())
            most = 2**bits
            rounded, full = (t.flatten(1 if quantizer.by_row else 0) for t in both)
            if full.shape[-1] > most:
                seen.add(bits)
                within.append(_values(rounded) <= most)
                beyond.append(_values(full) > most)
    case = f"{len(within)} exported weights of {', '.join(map(str, sorted(seen)))} bits"
    return [
        bounded(row(case, "share with at most 2^b values", _share(within)), ">=", 1),
        bounded(row(case, "with more, in full precision (control)", _share(beyond)), ">", 0.5),
    ]


def _values(rows: Tensor) -> int:
    """The most in one row."""
    return max(int(row.unique().numel()) for row in rows.reshape(-1, rows.shape[-1]))


def _share(found: Sequence[bool]) -> float | None:
    return sum(found) / len(found) if found else None


def ignored(component: str) -> list[Row]:
    """Whether the outputs of operators and activation functions change with one component alone."""
    having, without = changed(component, FEW)
    same = [one for each in changed(component, FLOAT) for one in each]
    what = "operators and activation functions" if component == "output" else "operators"
    case = f"{len(having)} {what}, {FEW.name} bits of {component} alone"
    none = row(case, f"of {len(without)} without it (control)", _share(without))
    return [
        bounded(row(case, "share whose output changes", _share(having)), ">=", 1),
        bounded(none, "<=", 0),
        bounded(row(case, f"of all {len(same)}, 32 bits (control)", _share(same)), "<=", 0),
    ]


def changed(component: str, format_: Format) -> tuple[list[bool], list[bool]]:
    """Whether the output is another one: of modules that have a component, and of the others."""
    alone = Precision(**{component: format_})
    having, without = list[bool](), list[bool]()
    for run, has in _modules():
        changes = not torch.equal(run(None), run(alone))
        (having if component in has else without).append(changes)
    return having, without


def _modules() -> Iterator[tuple[Run, set[str]]]:
    """Of every operator and activation function, how to run it, and the components that it has."""
    functions = tuple({type(make()) for make in ACTIVATIONS.values()} - {nn.Identity})
    for name in OPERATORS:
        plugin = plugins.load("operator", name)
        module = plugin.build(TASK.n_features, 8)
        names = [name.rpartition(".")[2] for name, _ in module.named_parameters()]
        has = {"weight", "activation"}
        if _contains(module, MessagePassing):
            has |= {"message", "aggregation"}
        if getattr(plugin, "ATTENTION", False):
            has.add("attention")
        if any(name.startswith("att") for name in names):
            has.add("attention_weight")
        # The perceptron of GIN.
        if _contains(module, *functions):
            has.add("output")
        yield partial(_run, module, (DATASET.x, DATASET.edge_index)), has
    for name, make in ACTIVATIONS.items():
        yield partial(_run, make(), (DATASET.x,)), set() if name == "none" else {"output"}


def _contains(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    return any(isinstance(part, kinds) for part in module.modules())


def _run(module: nn.Module, inputs: tuple[Tensor, ...], precision: Precision | None) -> Tensor:
    """None leaves the module alone."""
    copied = copy.deepcopy(module).eval()
    if precision is not None:
        quantize(copied, precision, Options())
    with torch.no_grad():
        out: Tensor = copied(*inputs)
    return out
