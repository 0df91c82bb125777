"""What must hold exactly of relaxed networks and of their bi-level gradient.

- One-hot mixtures compute what the networks of their architectures compute with the same weights;
  control: the mixture of another architecture.
- Where one of K parts of the channels is mixed, the others come out bit for bit as they went in.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from gradient_second_order import Problem, largest_error
from gradient_turns import of_one_part, turns
from reporting import Row, bounded, row, table
from torch import Tensor

from nas.contracts.graphs import node_graph
from search_spaces import Architecture, SearchSpace, gnn
from search_spaces.relaxation import Mixture, full, learned, one_hot, relax
from search_spaces.relaxing_layers import STEM

MOST_APART, MOST_OFF = 1e-10, 1e-3


def rows(quick: bool, data_root: Path, keep: Path | None) -> tuple[list[Row], str]:
    """Rows, and a table of them; nothing is read or kept."""
    del data_root, keep
    made = [
        *second_order(range(2 if quick else 10)),
        *(one for order in ("first", "second") for one in turns(order, 5 if quick else 20)),
        *mixtures(40 if quick else 200),
        *(one for parts in (2, 4, 8) for one in channels(parts)),
        *of_one_part(),
    ]
    lines = {f"{r['case']}: {r['measure']}": (f"{r['value']:.2g}", r["target"] or "") for r in made}
    return made, table("what must hold", ("of what: what", "value", "target"), lines)


def second_order(seeds: range) -> list[Row]:
    """Errors relative to automatic differentiation through the step, the largest over seeds."""
    made = []
    for activation in ("tanh", "relu"):
        for dtype in (torch.float64, torch.float32):
            problems = [Problem(activation, seed, dtype) for seed in seeds]
            case = f"{activation}, {str(dtype).removeprefix('torch.')}, {len(seeds)} seeds"
            second = row(
                case,
                "second order, largest relative error",
                largest_error(problems, Problem.second),
            )
            first = row(case, "first order (control)", largest_error(problems, Problem.first))
            # Between two points that relu has a kink between there is no second derivative.
            is_smooth = activation == "tanh"
            made += [
                bounded(second, "<=", MOST_OFF if is_smooth else None),
                bounded(first, ">", MOST_OFF if is_smooth else None),
            ]
    moving = largest_error([Problem("tanh", seed) for seed in seeds], Problem.moving)
    case = f"tanh, float64, {len(seeds)} seeds"
    made.append(row(case, "with denominators that move, by automatic differentiation", moving))
    return made


def mixtures(count: int) -> list[Row]:
    """One-hot mixtures beside networks, in float64: the largest differences, relative."""
    dataset = node_graph()
    space = gnn.build(dataset.task, depth=[1, 2, 3], width=[8, 16], pre_layers=[0, 1, 2])
    torch.manual_seed(0)
    relaxed = relax(space, dataset.task)
    weights = {name: tensor.double() for name, tensor in relaxed.initial().items()}
    inputs = (dataset.x.double(), dataset.edge_index)
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(count)]
    same, other = 0.0, list[float]()
    for i, one in enumerate(drawn):
        network = relaxed.network(weights, one).train()
        with torch.no_grad():
            expected = network(*inputs)
            mine = relaxed.logits(weights, _one_hot(space, one), inputs)
            another = relaxed.logits(weights, _one_hot(space, drawn[i - 1]), inputs)
        same = float(np.maximum(same, _apart(mine, expected)))
        other.append(_apart(another, expected))
    case = f"{count} architectures of the space gnn, float64"
    return [
        bounded(row(case, "one-hot mixture, from its network: largest", same), "<=", MOST_APART),
        bounded(
            row(case, "mixture of another (control): median", float(np.median(other))),
            ">",
            MOST_APART,
        ),
    ]


def _one_hot(space: SearchSpace, architecture: Architecture) -> Mixture:
    mixture = one_hot(space, architecture)
    return {name: {i: w.double() for i, w in row.items()} for name, row in mixture.items()}


def _apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def channels(parts: int, width: int = 32) -> list[Row]:
    """Which channels come out of a layer as they went in, bit for bit.

    The output is a linear map by the identity, so that it is what the layer gives.
    """
    dataset = node_graph(n_classes=width)
    space = gnn.build(
        dataset.task,
        depth=[1],
        operators=["gcn", "sage", "linear"],
        aggregation=["mean"],
        width=[width],
        pre_layers=[0],
        post_layers=[0],
        output=["linear"],
    )
    torch.manual_seed(0)
    relaxed = relax(space, dataset.task, parts)
    weights = dict(relaxed.initial())
    for name in [name for name in weights if name.startswith("output.")]:
        is_map = weights[name].dim() == 2
        weights[name] = torch.eye(width) if is_map else torch.zeros(width)
    mixture = full({d.name: torch.rand(len(d.choices)).softmax(0) for d in learned(space)})
    with torch.no_grad():
        found = relaxed.logits(weights, mixture, (dataset.x, dataset.edge_index))
        went_in = F.linear(dataset.x, weights[STEM])
    # They were dealt to the parts: the first of each, then the second of each.
    came_out = found.view(len(found), -1, parts).transpose(1, 2).flatten(1)
    is_same = (came_out == went_in).all(dim=0).float()
    case, mixed = f"K = {parts}, {width} channels", width // parts
    passed = row(case, "share that passed as it was", float(is_same[mixed:].mean()))
    control = row(
        case, "share of the mixed that is as it was (control)", float(is_same[:mixed].mean())
    )
    return [bounded(passed, ">=", 1.0), bounded(control, "<=", 0.0)]
