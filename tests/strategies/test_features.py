"""What predictors see of an architecture: by hand, and the same whatever was seen before."""

import numpy as np
import pytest

from nas.strategies._process import Process, Sample, Weights, _Likelihood, learn_weights
from search_spaces import SearchSpace
from search_spaces.features import Features, decision_parts, graph_parts
from search_spaces.graph import ArchitectureGraph


def parts_of(labels, edges):
    return list(graph_parts(ArchitectureGraph(tuple(labels), tuple(edges))))


def test_decisions_by_hand(planted):
    """Choices with the inactive ones, classes with their counts, and places on a scale."""
    space = planted.conditional(3)
    given = {"depth": 2, "train.lr": 0.01}
    for layer in (0, 1):
        given |= {f"layer{layer}.operator": "gcn", f"layer{layer}.width": (16, 64)[layer]}
    parts = decision_parts(space, space.architecture(given))
    assert parts["choices", ("layer0.operator", "gcn")] == 1
    assert parts["choices", ("layer2.operator", None)] == 1
    assert parts["classes", ("operator", "gcn")] == 2
    assert parts["scale", "depth"] == 0.5
    assert ("scale", "layer0.width") in parts
    assert parts["scale", "layer1.width"] == 1
    assert ("scale", "layer2.width") not in parts


def test_a_graph_by_hand():
    """A diamond: distances, edges, paths, siblings, ancestors, trees and sizes."""
    parts = parts_of(["in", "a", "b", "out"], [(0, 1), (0, 2), (1, 3), (2, 3)])
    assert ("position", ("a", 1, 1)) in parts
    assert ("edges", ("in", "b")) in parts
    assert sorted(w for g, w in parts if g == "paths") == [("in", "a", "out"), ("in", "b", "out")]
    assert ("siblings", ("from", "a", "b")) in parts
    assert ("siblings", ("to", "a", "b")) in parts
    assert sum(g == "ancestors" for g, _ in parts) == 5
    assert ("outputs", "in(a(out()),b(out()))") in parts
    assert ("size", ("width", 2)) in parts
    assert ("size", ("depth", 2)) in parts


def test_the_order_of_vertices_does_not_matter():
    """The same graph, written down in another topological order, has the same parts."""
    one = parts_of("iabo", [(0, 1), (0, 2), (1, 3), (2, 3)])
    other = parts_of("ibao", [(0, 1), (0, 2), (1, 3), (2, 3)])
    assert sorted(map(repr, one)) == sorted(map(repr, other))
    chain = parts_of("iabo", [(0, 1), (1, 2), (2, 3)])
    assert sorted(map(repr, one)) != sorted(map(repr, chain))


def test_a_graph_with_many_paths_stays_small():
    """Unrolled, a ladder of 60 vertices has 2^30 branches; its trees have digests for names."""
    edges = [(i, j) for i in range(58) for j in (i + 1, i + 2)]
    assert max(len(tree) for group, tree in parts_of("x" * 60, edges) if group == "outputs") <= 64


def graph_of_depth(architecture):
    depth = architecture.choices["depth"]
    labels = ["in", *(architecture.choices[f"layer{i}.operator"] for i in range(depth)), "out"]
    return ArchitectureGraph(tuple(labels), tuple((i, i + 1) for i in range(depth + 1)))


@pytest.fixture
def chains(planted):
    plain = planted.conditional(4)
    return SearchSpace(
        plain.name, plain.version, plain.decisions, plain.build, graph=graph_of_depth
    )


def drawn(space, seed, count):
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


def test_predictions_do_not_depend_on_what_was_seen_before(chains):
    """Bit for bit: features that numbered their parts in another order give the same numbers."""
    measured, others = drawn(chains, 0, 40), drawn(chains, 1, 60)
    values = np.random.default_rng(2).normal(size=40)
    found = []
    for before in ([], others[::-1]):
        features = Features(chains)
        for architecture in before:
            features.counts(architecture)
        sample = Sample([features.counts(a) for a in measured], len(features.groups))
        process = Process(sample, values, learn_weights(sample, values, np.arange(40)))
        counts = [features.counts(a) for a in others]
        drawn_from = Sample(counts, len(features.groups))
        draws = process.draw(counts, drawn_from, 3, np.random.default_rng(3))
        found.append([*process.predict(counts), process.left_out, draws])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


@pytest.fixture
def process(chains):
    features = Features(chains)
    measured = [features.counts(a) for a in drawn(chains, 0, 30)]
    sample = Sample(measured, len(features.groups))
    values = np.random.default_rng(2).normal(size=30)
    weights = Weights(np.full(len(features.groups), 0.1), 0.2, 0.7, 0.3)
    return (
        Process(sample, values, weights),
        measured,
        [features.counts(a) for a in drawn(chains, 1, 25)],
    )


def test_the_likelihoods_gradient(process):
    """Against finite differences."""
    made, _, _ = process
    likelihood = _Likelihood(made.sample.products, made.values)
    point = likelihood.prior + np.random.default_rng(0).normal(size=len(likelihood.prior)) / 3
    step = 1e-5 * np.eye(len(point))
    numeric = [(likelihood(point + s)[0] - likelihood(point - s)[0]) / 2e-5 for s in step]
    assert likelihood(point)[1] == pytest.approx(np.array(numeric), abs=1e-4)


def test_left_out_predictions_are_those_of_a_process_without(process):
    """The closed form against a process that was never given the measurement."""
    made, measured, _ = process
    kept = list(range(1, 30))
    without = Sample([measured[i] for i in kept], made.sample.products.shape[0])
    # Groups are scaled by their sample, so the weights are turned to mean the same.
    weights = Weights(
        made.weights.groups * made.sample.scale / without.scale,
        made.weights.linear,
        made.weights.smooth,
        made.weights.noise,
    )
    mean, _ = Process(without, made.values[kept], weights).predict(measured[:1])
    assert mean[0] == pytest.approx(made.left_out[0], abs=1e-6)


def test_draws_have_the_predicted_means_and_spreads(process):
    """Of 4,000 functions drawn, at 25 architectures."""
    made, _, others = process
    means, spreads = made.predict(others)
    sample = Sample(others, len(made.weights.groups))
    draws = made.draw(others, sample, 4000, np.random.default_rng(0))
    assert draws.mean(axis=0) == pytest.approx(means, abs=0.08)
    assert draws.std(axis=0) == pytest.approx(spreads, abs=0.08)
