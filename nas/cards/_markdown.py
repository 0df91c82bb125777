"""A card in Markdown: a head, a title, and sections."""

from nas.cards._escaped import code, options, table, text
from nas.cards._facts import Facts
from nas.cards._front import front
from nas.cards._head import head
from nas.cards._measured import latency, measured, parity
from nas.cards._numbers import number
from nas.cards._section import Section
from nas.cards._trained import data, trained
from nas.cards._used import inputs, security, used


def markdown(facts: Facts) -> str:
    """The whole card."""
    lines = [*head(facts), "", f"# {title(facts)}", "", *introduction(facts)]
    for section in sections(facts):
        lines += ["", f"## {section.title}", "", *section.lines]
    return "\n".join(lines) + "\n"


def title(facts: Facts) -> str:
    """What it is, in words of our own."""
    return f"A graph neural network for {facts.manifest.contract.kind.replace('_', ' ')}"


def sections(facts: Facts) -> tuple[Section, ...]:
    """In their order."""
    return (
        used(facts),
        inputs(facts),
        measured(facts),
        front(facts),
        latency(facts),
        parity(facts),
        Section("Its architecture", _architecture(facts)),
        trained(facts),
        data(facts),
        Section("Limits and notes", _limits(facts)),
        security(facts),
        Section("Versions and files", _files(facts)),
    )


def introduction(facts: Facts) -> list[str]:
    """What it is, for which task, and where it comes from."""
    manifest, origin = facts.manifest, facts.manifest.provenance
    contract, is_one = manifest.contract, manifest.contract.n_features == 1
    what, like = "node of a graph", "the one"
    if contract.is_graph_task:
        what, like = "graph", "those"
    lines = [
        f"For each {what} it gives scores for {contract.n_classes} classes, from "
        f"{contract.n_features} feature{'s' * (not is_one)} of each node and from the edges. It is "
        f"for graphs like {like} that it was trained on.",
        "",
    ]
    if origin.study is None:
        found = "It was exported by hand, and is of no study."
    elif origin.trial is None:
        found = f"It comes from the study {code(origin.study)}."
    else:
        found = f"It is trial {origin.trial} of the architecture search {code(origin.study)}."
    if manifest.data is not None:
        found += f" It was trained on {code(manifest.data.name)}."
    if origin.seed is not None:
        found += f" Its seed is {origin.seed}."
    return [*lines, " ".join([found, *_how_it_came(facts)])]


def _how_it_came(facts: Facts) -> list[str]:
    origin, told = facts.manifest.provenance, []
    if origin.retrained:
        told.append("The trial had no checkpoint: it was trained for this bundle.")
    if origin.slice:
        told.append("Its weights are a part of a supernet's, trained together with all others.")
    if origin.latency_bound_ms is not None:
        told.append(
            f"It was chosen for at most {number(origin.latency_bound_ms)} ms on "
            f"{code(origin.device)}, on the study's graph."
        )
    if origin.post_training is not None:
        before = {name: number(v) for name, v in origin.post_training.before.items()}
        was = ", ".join(f"{code(name)} {value}" for name, value in sorted(before.items()))
        told.append(
            f"It was trained in full precision and brought to few bits afterwards, by "
            f"{code(origin.post_training.method)}; before: {was or 'not measured'}."
        )
    return told


def _architecture(facts: Facts) -> list[str]:
    rows = [[code(name), code(choice)] for name, choice in sorted(facts.choices.items())]
    key = f"Its key is {code(facts.manifest.architecture)}; the same key is the same architecture."
    return [key, "", *table(["decision", "choice"], rows)]


def _limits(facts: Facts) -> list[str]:
    graph = facts.manifest.graph
    told = [
        "- Programs do not check their inputs: an edge to a node that is not there fails or gives "
        "nonsense.",
        "- They run on the CPU.",
        "- Of graphs of another kind nothing is known here.",
    ]
    if graph is not None:
        told.append(
            f"- Edges were pruned with the network: of {graph.edges_before:,} edges between "
            f"{graph.n_nodes:,} nodes {graph.edges:,} are left, in {code(graph.file)}. What is "
            "said here is of that graph alone."
        )
    return [*told, *(f"- {text(note)}" for note in facts.manifest.notes)]


def _files(facts: Facts) -> list[str]:
    manifest = facts.manifest
    rows = [
        [code(name), f"{entry.bytes:,}", code(entry.sha256)]
        for name, entry in sorted(manifest.files.items())
    ]
    return [
        f"Written with: {options(dict(manifest.versions))}.",
        "",
        *table(["file", ">bytes", "SHA-256"], rows),
    ]
