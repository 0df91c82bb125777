"""The README.md of a bundle, for the person who deploys it."""

from collections.abc import Mapping

from nas.export._base import Exporter, reads_numpy
from nas.export._manifest import Confirmed, Description, Metric, Parity, Program

_FEATURES = {
    "none": "are used as they come",
    "row": "are divided by the sum of their row inside the program",
    "standardize": "are standardized inside the program, with the means and deviations of the "
    "training data",
}


_EDGES = {
    "directed": "- Edges are directed, and used as they come.",
    "undirected": "- The graph is undirected: give each edge in one direction or in both, once or "
    "more often. The program counts each of them once in each direction.",
    "both_directions": "- The graph is undirected: give each edge once in each direction. The "
    "program does not add the missing ones.",
}


def readme(description: Description, exporters: Mapping[str, Exporter]) -> str:
    """How to run it, what it takes, how good it is, and where that ends.

    Args:
        description: of the bundle.
        exporters: of its programs, in their order.
    """
    exporter = exporters[description.programs[0].exporter]
    return "\n".join(
        [
            f"# A network for {description.contract.kind.replace('_', ' ')}",
            "",
            _origin(description),
            "",
            "## Run it",
            "",
            f"It needs {exporter.needs} alone (torch {description.versions['torch']} wrote it).",
            "",
            "```python",
            *_lines(description, exporter),
            "```",
            "",
            "## Inputs and output",
            "",
            *_table(description),
            "",
            *_rules(description),
            *_graph(description, exporter),
            "",
            "## How good it is",
            "",
            *_metrics(description),
            "",
            "## Limits",
            "",
            *_limits(description),
            "",
            "## Files",
            "",
            *(_program(program, exporters) for program in description.programs),
            "- `weights.safetensors`: the same weights by name, for other tools",
            "- `architecture.json`: the decisions that the network was built from",
            *_graph_file(description),
            "- `recipe.json`, where there is one: what it was trained on, and how",
            "- `state.safetensors`, where there is one: its tensors as they were trained",
            "- `manifest.json`: all of the above for programs, with the SHA-256 of each file",
            "",
        ]
    )


def _origin(description: Description) -> str:
    origin = description.provenance
    text = f"Architecture `{description.architecture}`"
    if origin.study is not None:
        trial = ", " if origin.trial is None else f", trial {origin.trial} "
        text += f'{trial}of the study "{origin.study}"'
    if origin.seed is not None:
        text += f", trained with seed {origin.seed}"
    if origin.retrained:
        text += " (it had no checkpoint, and was trained for this bundle)"
    if origin.slice:
        text += (
            ". Its weights are a part of a supernet's: they were trained together with those of "
            "all other networks of the study"
        )
    if origin.latency_bound_ms is not None:
        text += (
            f'. It was chosen for at most {origin.latency_bound_ms:g} ms on "{origin.device}", on '
            "the study's graph"
        )
    if origin.post_training is not None:
        text += (
            ". It was trained in full precision, and brought to few bits afterwards "
            f"({origin.post_training.method})"
        )
    return text + "."


def _lines(description: Description, exporter: Exporter) -> list[str]:
    if reads_numpy(exporter):
        return _lines_of_arrays(description, exporter)
    features = description.contract.n_features
    lines = [
        *exporter.reading.splitlines(),
        f"x, edge_index = torch.rand(3, {features}), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])",
    ]
    if not description.contract.is_graph_task:
        return [*lines, "logits = network(x, edge_index)", "probabilities = logits.softmax(-1)"]
    return [
        *lines,
        "graph_ids = torch.tensor([0, 0, 0])  # all three nodes belong to graph 0",
        "logits = network(x, edge_index, graph_ids, torch.zeros(1, dtype=torch.int64))",
        "probabilities = logits.softmax(-1)",
    ]


def _lines_of_arrays(description: Description, exporter: Exporter) -> list[str]:
    """The same with NumPy alone."""
    inputs = ["x", "edge_index"]
    lines = [
        *exporter.reading.splitlines(),
        f"x = np.random.rand(3, {description.contract.n_features}).astype(np.float32)",
        "edge_index = np.array([[0, 1, 1, 2], [1, 0, 2, 1]])",
    ]
    if description.contract.is_graph_task:
        inputs += ["graph_ids", "graphs"]
        lines += [
            "graph_ids = np.array([0, 0, 0])  # all three nodes belong to graph 0",
            "graphs = np.zeros(1, dtype=np.int64)",
        ]
    return [
        *lines,
        f"logits = network({', '.join(inputs)})",
        "shares = np.exp(logits - logits.max(-1, keepdims=True))",
        "probabilities = shares / shares.sum(-1, keepdims=True)",
    ]


def _table(description: Description) -> list[str]:
    meaning = {
        "x": "raw features of each node",
        "edge_index": "source and target of each edge, as row numbers of `x`",
        "graph_ids": "for each node the number of its graph, from 0, ascending",
        "graphs": "any numbers; only the length counts, it says how many graphs there are",
        "logits": "output: column `c` is the score of class `c`, before the softmax",
    }
    rows = ["| name | type | shape | what |", "|---|---|---|---|"]
    for spec in (*description.inputs, *description.outputs):
        shape = ", ".join(str(size) for size in spec.shape)
        rows.append(f"| `{spec.name}` | {spec.dtype} | [{shape}] | {meaning[spec.name]} |")
    return rows


def _rules(description: Description) -> list[str]:
    contract = description.contract
    rules = [
        f"- `N` is 1 or more, `E` 0 or more{', `B` 1 or more' * contract.is_graph_task}.",
        f"- Give raw features: they {_FEATURES[contract.features]}.",
    ]
    rules.append(_EDGES[contract.edges])
    if contract.class_names:
        names = ", ".join(f"`{name}`" for name in contract.class_names)
        rules.append(f"- The classes, in the order of the columns of `logits`: {names}.")
    return rules


def _graph(description: Description, exporter: Exporter) -> list[str]:
    graph = description.graph
    if graph is None:
        return []
    return [
        "",
        "## Its graph",
        "",
        f"Edges were pruned with the network, of the graph that it was trained on: {graph.edges:,} "
        f"of {graph.edges_before:,} are left, between {graph.n_nodes:,} nodes. Give it these with "
        f'the features of that graph: `load_file("{graph.file}")["edge_index"]`, with `load_file` '
        f"of `safetensors.{'numpy' if reads_numpy(exporter) else 'torch'}`.",
        "",
        "What was measured, and how fast it is said to be, is on this graph alone. Another graph "
        "is computed with all its edges, of which nothing is known here.",
    ]


def _graph_file(description: Description) -> list[str]:
    if description.graph is None:
        return []
    return [f"- `{description.graph.file}`: the edges that are left of its graph"]


def _metrics(description: Description) -> list[str]:
    if not description.metrics and not description.confirmed:
        return ["Nothing was measured."]
    rows = ["| metric | split | value | measured on |", "|---|---|---|---|"]
    for metrics in (description.metrics, description.training):
        rows += [_row(name, metric) for name, metric in sorted(metrics.items())]
    rows += [_row(name, metric) for name, metric in sorted(description.confirmed.items())]
    chosen_by = {metric.split for metric in description.metrics.values()}
    if "validation" in chosen_by:
        rows += [
            "",
            "The search chose this network by its validation values, so these are optimistic.",
        ]
    if "test" not in chosen_by | {metric.split for metric in description.confirmed.values()}:
        rows += ["", "It was never measured on the test split (`nas confirm` does)."]
    return rows


_BY = {None: "these weights", "training": "these weights, before export", "program": "this program"}


def _row(name: str, metric: Metric | Confirmed) -> str:
    split = metric.split or "-"
    if isinstance(metric, Metric):
        return f"| {name} | {split} | {metric.value:.6g} | {_BY[metric.by]} |"
    spread = "" if metric.stderr is None else f" ± {metric.stderr:.2g} (standard error)"
    where = f"this architecture, trained anew on {metric.n} fresh seed{'s' * (metric.n > 1)}"
    return f"| {name} | {split} | {metric.mean:.4g}{spread} | {where} |"


def _limits(description: Description) -> list[str]:
    return [
        "- Inputs are not checked by the program: an edge to a node that is not there fails or "
        "gives nonsense.",
        "- It runs on the CPU.",
        *(f"- {note}" for note in description.notes),
        *(f"- {_parity(program)}" for program in description.programs),
        "- Opening a program means running it: open only files whose origin you trust. The hashes "
        "in `manifest.json` show damage, not who wrote them.",
    ]


def _program(program: Program, exporters: Mapping[str, Exporter]) -> str:
    exporter = exporters[program.exporter]
    return (
        f"- `{program.file}`: the program, by the exporter `{program.exporter}`; it needs "
        f"{exporter.needs}: `{'; '.join(exporter.reading.splitlines())}`"
    )


def _parity(program: Program) -> str:
    parity: Parity = program.parity
    where = f"On {len(parity.graphs)} graphs, one with a single node and no edge among them, "
    if len(parity.graphs) == 1:
        where = "On the graph that its ranges were chosen by "
    where += f"`{program.file}`"
    text = f"{where} differed from the network it was made of by {parity.largest_difference:.2g}"
    if parity.mean_difference is None:
        return f"{text} at most."
    return (
        f"{text} at most and {parity.mean_difference:.2g} in the mean: where a number lies between "
        "two that its few bits have, sums in another order may make it either."
    )
