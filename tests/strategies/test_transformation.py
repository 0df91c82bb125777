"""Network transformation: small starts, children of the best, and a controller that learns."""

import itertools
from dataclasses import replace
from math import exp, inf, pi, tan

import numpy as np
import pytest

from nas.strategies import Finished, Objective, Problem, StrategyError
from nas.strategies._base import generator
from nas.strategies._steps import Steps
from nas.strategies._transforming import Transformer
from nas.strategies.transformation import build
from search_spaces import gnn
from search_spaces.extensions import neighborhood
from search_spaces.growing import wider
from search_spaces.morphism import reachable


@pytest.fixture(scope="module")
def space(planted):
    return planted.networks(depth=(1, 2, 3), operators=("gcn", "sage", "linear"), hops=None)


def network(space, *layers, **choices):
    """Layers of `sage` and ReLU, 8 wide, unless they say otherwise."""
    plain = {"operator": "sage", "width": 8, "normalization": "none", "activation": "relu"}
    given = {f"layer{i}.{k}": v for i, one in enumerate(layers) for k, v in (plain | one).items()}
    bare = {"depth": len(layers), "connectivity": "plain", "pre.layers": 0, "post.layers": 0}
    named = {name.replace("_", "."): choice for name, choice in choices.items()}
    return space.fill(lambda d: d.choices[0], bare | given | named)


def complete(ordinal, architecture, loss):
    return Finished(ordinal, architecture, "complete", (loss,))


def steps_of(space, architecture):
    return Steps.of(space, None, architecture)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_probabilities_of_all_steps_sum_to_one(space, layers):
    """Every set of widths and every new layer: what a walk cannot do has no probability."""
    parent = network(space, *[{}] * layers, pre_layers=1, post_layers=1)
    controller, steps = Transformer(space, None), steps_of(space, parent)
    parameters = controller.initial(np.random.default_rng(0))
    sets = itertools.chain.from_iterable(
        itertools.combinations(steps.wider, n) for n in range(1, len(steps.wider) + 1)
    )
    reached = {wider(space, parent, names) for names in sets} | {*steps.deeper.values()}
    found = [controller.followed(parameters, steps, child) for child in reached]
    assert all(reachable(space, None, parent, child) is None for child in reached)
    assert sum(exp(step.log_probability) for step in found) == pytest.approx(1, abs=1e-9)
    assert len(found) > 5
    assert controller.followed(parameters, steps, parent) is None


def test_what_was_sampled_is_what_is_followed(space):
    """The record's child has the probability and the name that it was proposed with."""
    controller, steps = Transformer(space, None), steps_of(space, network(space, {}, {}))
    parameters = controller.initial(np.random.default_rng(1))
    named = set()
    for ordinal in range(40):
        step = controller.sampled(parameters, steps, generator(0, ordinal))
        again = controller.followed(parameters, steps, step.child)
        assert again.log_probability == pytest.approx(step.log_probability, abs=1e-9)
        assert (again.named, again.child) == (step.named, step.child)
        named.add(step.named)
    assert len(named) > 4


def test_the_gradient_is_that_of_the_probability(space):
    """Against differences, along random directions; the control is another child's gradient."""
    controller, steps = Transformer(space, None), steps_of(space, network(space, {}, {}))
    parameters = controller.initial(np.random.default_rng(2))
    children = [wider(space, steps.architecture, steps.wider[:1]), *steps.deeper.values()][:2]
    one, other = (controller.followed(parameters, steps, child) for child in children)
    rng = np.random.default_rng(3)
    for _ in range(3):
        direction = rng.normal(size=len(parameters.values))
        ends = [
            controller.followed(
                replace(parameters, values=parameters.values + sign * 1e-5 * direction),
                steps,
                children[0],
            ).log_probability
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / 2e-5
        assert one.gradient @ direction == pytest.approx(slope, rel=1e-5)
        assert other.gradient @ direction != pytest.approx(slope, rel=1e-2)


def hits(planted, space, lr, wanted, trials=240):
    """The share of the last 60 children of one parent that are as wanted, which is rewarded."""
    strategy = planted.build("transformation", space, lr=lr, starts=1)
    state = strategy.fold(strategy.initial(), complete(0, network(space, {}, {}), 0.5))
    home, found = state.best, []
    for ordinal in range(1, trials):
        proposal = planted.propose(strategy, state, ordinal)
        found.append(wanted(str(proposal.note["step"])))
        loss = -0.9 if found[-1] else -0.1
        state = strategy.fold(state, complete(ordinal, proposal.architecture, loss))
        state = replace(state, best=home, tried=frozenset())
    return float(np.mean(found[-60:]))


@pytest.mark.parametrize(
    "wanted",
    [lambda step: "layer1.width" in step, lambda step: step.endswith("=linear")],
    ids=["wider", "deeper"],
)
def test_the_controller_learns_what_is_rewarded(planted, space, wanted):
    """Which layer becomes wider, and which operator is added; with a rate of 0 it does not."""
    learned, control = (hits(planted, space, lr, wanted) for lr in (2e-2, 0.0))
    assert learned > 0.8
    assert control < 0.6


def test_first_small_networks_then_children_of_the_best(planted, space):
    """Each child starts from its parent's weights, and the record says so."""
    strategy = planted.build("transformation", space, starts=6, parents=2)
    state, phases = strategy.initial(), []
    for ordinal in range(40):
        proposal = planted.propose(strategy, state, ordinal)
        architecture, note = proposal.architecture, proposal.note
        phases.append(note["phase"])
        if note["phase"] != "grown":
            assert architecture.choices["depth"] == 1
            assert {c for n, c in architecture.choices.items() if n.endswith("width")} == {8}
            assert proposal.inherit is None
        else:
            parent = next(t for t in state.best if t.ordinal == proposal.inherit)
            assert (note["parent"], proposal.inherit_by) == (parent.ordinal, "morphism")
            assert reachable(space, None, parent.architecture, architecture) is None
            able = [t for t in state.best if steps_of(space, t.architecture)]
            assert parent in able[: 2 + 16]
            assert architecture.key not in state.tried
            assert 0 < note["probability"] <= 1
        loss = -planted.reward(architecture, 0)
        state = strategy.fold(state, complete(ordinal, architecture, loss))
    assert phases[:6] == ["start"] * 6
    assert {*phases[6:]} <= {"grown", "anew"}
    assert phases.count("grown") > 25


def test_a_network_that_cannot_grow_is_no_parent(planted, space):
    """However good it is; where no other is there, a small one comes anew."""
    strategy = planted.build("transformation", space, starts=1, parents=1)
    full = network(space, *[{"width": 32}] * 3)
    assert not steps_of(space, full)
    state = strategy.fold(strategy.initial(), complete(0, full, -9.0))
    assert planted.propose(strategy, state, 5).note["phase"] == "anew"
    state = strategy.fold(state, complete(1, network(space, {}), 9.0))
    proposal = planted.propose(strategy, state, 5)
    assert (proposal.note["phase"], proposal.inherit) == ("grown", 1)


def test_what_was_tried_is_not_drawn_again(planted, space):
    """Neither what is under way; other parents have their turn, and then a new beginning."""
    strategy = planted.build("transformation", space, starts=1, parents=1)
    parent, other = network(space, {}), network(space, {"width": 16})
    first = [complete(0, parent, 0.0), complete(1, other, 1.0)]
    state = planted.folded(strategy, first)
    steps = [steps_of(space, a) for a in (parent, other)]
    own = [wider(space, parent, steps[0].wider), *steps[0].deeper.values()]
    proposal = planted.propose(strategy, state, 9)
    assert (proposal.inherit, proposal.architecture in own) == (0, True)
    proposal = planted.propose(strategy, state, 9, own)
    assert (proposal.inherit, proposal.architecture in own) == (1, False)
    every = [*own, wider(space, other, steps[1].wider), *steps[1].deeper.values()]
    assert planted.propose(strategy, state, 9, every).note["phase"] == "anew"
    state = planted.folded(strategy, [*first, *(complete(i, a, 2.0) for i, a in enumerate(own, 2))])
    assert planted.propose(strategy, state, 9).inherit not in (None, 0)


def test_what_no_step_leads_to_teaches_nothing(planted, space):
    """A start, a random architecture; a child of one that ended does."""
    strategy = planted.build("transformation", space)
    state = strategy.initial()
    for ordinal, architecture in enumerate([network(space, {}), network(space, *[{}] * 3)]):
        after = strategy.fold(state, complete(ordinal, architecture, 0.5))
        assert after.parameters is state.parameters
        state = after
    child = next(iter(steps_of(space, network(space, {})).deeper.values()))
    for ordinal in range(2, 10):
        after = strategy.fold(state, complete(ordinal, child, ordinal / 10))
        assert after.parameters is not state.parameters
        state = after
    assert not np.array_equal(state.parameters.values, strategy.initial().parameters.values)


def test_the_reward_is_the_tangent_of_an_accuracy(planted, space):
    """Of what is maximized between 0 and 1; anything else counts as it is."""
    up = build(Problem(space, (Objective("val_accuracy", "maximize"),), 0))
    down = build(Problem(space, (Objective("val_loss", "minimize"),), 0))
    assert up.reward(0.5) == pytest.approx(tan(0.5 * pi / 2))
    assert up.reward(0.99) - up.reward(0.98) > up.reward(0.51) - up.reward(0.50)
    assert up.reward(1.0) < inf
    assert up.reward(7.0) == 7.0
    assert down.reward(-0.5) == -0.5


def test_what_it_is_not_for_is_refused(planted, space):
    """Several objectives; spaces without networks, and those whose networks are changed."""
    with pytest.raises(StrategyError, match=r'"transformation" is for one objective, got 2'):
        planted.build("transformation", space, 2)
    with pytest.raises(
        StrategyError, match=r'networks that grow, got "flat"; expected name = "gnn"'
    ):
        planted.build("transformation", planted.flat())
    extended = space.extended(neighborhood.build(space, planted.TASK))
    with pytest.raises(StrategyError, match=r"expected .* leave \[extension\.neighborhood\] out"):
        planted.build("transformation", extended)


def test_larger_networks_are_found(planted):
    """A reward for width and depth is climbed, from networks of the least of both."""
    space = gnn.build(planted.TASK, operators=("sage",), width=(8, 16, 32), heads=None)
    strategy = planted.build("transformation", space, starts=5)

    def loss(architecture, _):
        depth = architecture.choices["depth"]
        return (-sum(architecture.choices[f"layer{i}.width"] for i in range(depth)) / 96,)

    tried = planted.search(strategy, 80, loss)
    sizes = [-loss(a, 0)[0] for a in tried]
    assert max(sizes[:5]) < 0.1
    assert max(sizes) > 0.7
