"""Sections on running it: how, with what, and what that risks."""

from nas.cards._escaped import code, table, text
from nas.cards._facts import Facts, Opening
from nas.cards._section import Section

_FEATURES = {
    "none": "they are used as they come",
    "row": "the program divides each row by its sum, which needs features of 0 or more",
    "standardize": "the program standardizes them, with means and deviations of the training data",
}
_EDGES = {
    "directed": "Edges are directed, and used as they come.",
    "undirected": "The graph is undirected: give each edge in one direction or in both, once or "
    "more often. The program counts each of them once in each direction.",
    "both_directions": "The graph is undirected: give each edge once in each direction. The "
    "program does not add the missing ones.",
}
_MEANING = {
    "x": "raw features of each node",
    "edge_index": "source and target of each edge, as row numbers of `x`",
    "graph_ids": "for each node the number of its graph, from 0, ascending",
    "graphs": "any numbers; only the length counts, it says how many graphs there are",
    "logits": "output: column `c` is the score of class `c`, before the softmax",
}


def used(facts: Facts) -> Section:
    """How each program is opened and run without this one."""
    lines = ["In the folder of the bundle, without this program:"]
    for opening in facts.openings:
        lines += ["", *_opened(facts, opening)]
    return Section("Use it", lines)


def _opened(facts: Facts, opening: Opening) -> list[str]:
    torch = facts.manifest.versions.get("torch", "")
    if not opening.code:
        return [
            f"{code(opening.file)} was written by {code(opening.exporter)}, which did not come "
            "with this program; the README of the bundle says how to run it."
        ]
    written = f" ({code(f'torch {torch}')} wrote it)" if torch else ""
    kind = ", native code for the processor that compiled it," if opening.native else ""
    return [
        f"{code(opening.file)}{kind} needs {text(opening.needs)} alone{written}:",
        "",
        "```python",
        *opening.code,
        "```",
    ]


def inputs(facts: Facts) -> Section:
    """Names, types and shapes, and what is prepared inside."""
    contract = facts.manifest.contract
    rows = [
        [code(spec.name), spec.dtype, code(_shape(spec.shape)), _MEANING.get(spec.name, "")]
        for spec in (*facts.manifest.inputs, *facts.manifest.outputs)
    ]
    sizes = "`N` nodes, 1 or more; `E` edges, 0 or more"
    lines = [
        *table(["name", "type", "shape", "what"], rows),
        "",
        f"- {sizes}{'; `B` graphs, 1 or more' * contract.is_graph_task}, in each call others.",
        f"- Give raw features: {_FEATURES[contract.features]}.",
        f"- {_EDGES[contract.edges]}",
    ]
    if contract.class_names:
        names = ", ".join(code(name) for name in contract.class_names)
        lines.append(f"- The classes, in the order of the columns of `logits`: {names}.")
    return Section("Inputs and outputs", lines)


def _shape(shape: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def security(facts: Facts) -> Section:
    """What opening a program risks, and how to see that the bundle is this one."""
    lines = []
    for opening in facts.openings:
        if opening.native is None:
            lines.append(
                f"- {code(opening.file)} is of a kind that this program does not know: take it for "
                "native code."
            )
        elif opening.native:
            lines.append(
                f"- {code(opening.file)} is native code: opening it runs it with all rights of the "
                "process."
            )
    digest = facts.manifest.digest
    return Section(
        "Security",
        [
            "- Opening a program means running it: open only files whose origin you trust. "
            "`nas.load_bundle` refuses archives that hold pickles, `torch.export.load` does not.",
            *lines,
            "- Hashes show damage, not authorship. Who knows this digest from somewhere else than "
            "the bundle sees whether it is the same bundle:",
            "",
            "```sh",
            f"nas verify {facts.name_in_shell} --digest {digest}",
            "```",
        ],
    )
