"""Sections on how it was trained, and on what."""

from collections.abc import Mapping
from typing import Any

from nas.cards._escaped import code, options, table, text
from nas.cards._facts import Facts
from nas.cards._section import Section
from nas.export._recipe import Recipe


def trained(facts: Facts) -> Section:
    """The recipe in words, and how to train it again."""
    recipe = facts.recipe
    if recipe is None:
        why = "The bundle does not say how: its weights were given by hand, or are a supernet's."
        return Section("How it was trained", [why])
    last = recipe.steps[-1]
    seeks = ", ".join(f"{code(name)} ({text(way)})" for name, way in recipe.objectives)
    lines = [
        f"For {last.epochs} epochs with seed {recipe.seed}, in a search for {seeks}.",
        *_before(recipe),
        "",
        *table(["what", "plug-in", "options"], _plugins(recipe)),
        "",
    ]
    if recipe.obstacle:
        lines += [f"It cannot be trained again from this alone: {text(recipe.obstacle)}."]
        return Section("How it was trained", lines)
    lines += [
        "To train it again and compare:",
        "",
        "```sh",
        f"nas reproduce {facts.name_in_shell}",
        "```",
    ]
    return Section("How it was trained", lines)


def _before(recipe: Recipe) -> list[str]:
    told = []
    if len(recipe.steps) > 1:
        epochs = ", ".join(str(step.epochs) for step in recipe.steps[:-1])
        told.append(
            f"It began with weights of {len(recipe.steps) - 1} other trials of the search, each "
            f"trained after the one before, for {epochs} epochs."
        )
    if recipe.quantized is not None:
        told.append(f"Then it was brought to few bits: {options(recipe.quantized)}.")
    return told


def _plugins(recipe: Recipe) -> list[list[str]]:
    tables: list[tuple[str, Mapping[str, Any]]] = [
        ("dataset", recipe.dataset),
        ("space", recipe.space),
        ("evaluator", recipe.evaluator),
        *(("extension", {"name": name, **given}) for name, given in recipe.extension),
    ]
    return [
        [
            what,
            code(given.get("name", "")),
            options({k: v for k, v in given.items() if k != "name"}),
        ]
        for what, given in tables
    ]


def data(facts: Facts) -> Section:
    """What it was trained on, and what that is under."""
    known, title = facts.manifest.data, "Data and its license"
    if known is None:
        return Section(title, ["The bundle does not say what it was trained on."])
    unit = "graphs" if facts.manifest.contract.is_graph_task else "nodes"
    said = text(known.license)
    if not said:
        said = "nothing is known of it here, so it is a matter of the owner of the data."
    return Section(
        title,
        [
            f"- {code(known.name)}, with the fingerprint {code(known.fingerprint)}.",
            f"- Labeled {unit}: {known.n_train:,} for training, {known.n_val:,} for validation, "
            f"{known.n_test:,} for test.",
            f"- License of the data: {said}",
            "- The license of these weights is a matter of whoever trained them.",
        ],
    )
