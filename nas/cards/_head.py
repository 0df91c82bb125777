"""The head of a card: YAML, with the fields that Hugging Face reads of a model card.

Of https://github.com/huggingface/hub-docs/blob/main/modelcard.md. There `license` is that of the
weights, which is their owner's matter and left out, and `datasets` are those of its own hub.
"""

from typing import Any

from nas.cards._escaped import in_one_line
from nas.cards._facts import Facts, Value

# The names that metrics have there.
_METRICS = {"accuracy": "accuracy", "macro_f1": "f1", "roc_auc": "roc_auc"}
# Of each split, whose values are given: the one that says most.
_SOURCES = {"test": "seeds", "validation": "program"}


def head(facts: Facts) -> list[str]:
    """Its lines, between two rules."""
    import yaml

    lines = yaml.safe_dump(_fields(facts), sort_keys=False, allow_unicode=True, width=10**6)
    return ["---", *lines.splitlines(), "---"]


def _fields(facts: Facts) -> dict[str, Any]:
    manifest = facts.manifest
    kind = manifest.contract.kind.replace("_", "-")
    fields: dict[str, Any] = {
        "pipeline_tag": "graph-ml",
        "tags": ["graph-neural-networks", "neural-architecture-search", kind, *_formats(facts)],
    }
    if manifest.data is not None:
        said = in_one_line(manifest.data.license)
        fields["data_license"] = said or "not stated; a matter of its owner"
    results = _results(facts)
    if results:
        metrics = [metric["type"] for result in results for metric in result["metrics"]]
        fields["metrics"] = list(dict.fromkeys(metrics))
        fields["model-index"] = [{"name": _name(facts), "results": results}]
    return fields


def _formats(facts: Facts) -> list[str]:
    return [in_one_line(program.exporter) for program in facts.manifest.programs]


def _name(facts: Facts) -> str:
    origin = facts.manifest.provenance
    if origin.study is None:
        return in_one_line(facts.manifest.architecture)
    number = "" if origin.trial is None else f" {origin.trial}"
    return in_one_line(f"{origin.study}{number}")


def _results(facts: Facts) -> list[dict[str, Any]]:
    """One for each split; Hugging Face takes none without a dataset."""
    data = facts.manifest.data
    if data is None:
        return []
    task = facts.manifest.contract.kind.replace("_", " ").capitalize()
    results = []
    for split, by in _SOURCES.items():
        values = [v for v in facts.values if v.split == split and v.by == by]
        metrics = [_metric(value) for value in values if _plain(value) in _METRICS]
        name = in_one_line(data.name)
        dataset = {"type": name, "name": name, "split": split}
        if metrics:
            task_of = {"type": "graph-ml", "name": task}
            results.append({"task": task_of, "dataset": dataset, "metrics": metrics})
    return results


def _plain(value: Value) -> str:
    return value.metric.partition("_")[2]


def _metric(value: Value) -> dict[str, Any]:
    how = "of this network, optimistic: it was chosen by it"
    if value.by == "seeds":
        how = f"mean of {value.n} networks of this architecture, each trained on a fresh seed"
    elif not value.optimistic:
        how = "of this network"
    name = f"{_plain(value).replace('_', ' ')}, {how}"
    return {"type": _METRICS[_plain(value)], "value": value.value, "name": name}
