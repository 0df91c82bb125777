"""What is drawn to be timed."""

import json

import numpy as np
import pytest
import torch
from made_up import GRAPH, TASK, small_plan, small_space

from evaluators.latency.graphs import inputs
from evaluators.latency.plan import Plan, general_plan, plan_from_json, plan_of
from evaluators.latency.values import LatencyError, Workload
from search_spaces import gnn, plugins
from search_spaces.networks import SKIP
from search_spaces.plugins import Plugin


@pytest.fixture(scope="module")
def general() -> Plan:
    return general_plan(3)


def test_cases_follow_from_seed_and_number(general: Plan):
    assert [general.case(i) for i in (5, 2)] == [general_plan(3).case(i) for i in (5, 2)]
    assert general.case(5) != general.case(6)
    assert general.case(5) != general_plan(4).case(5)
    assert general.case(5) != general.case(5, "check")
    assert general.near(general.case(1), 7) == general.near(general.case(1), 7)


def test_every_operator_is_in_the_general_plan_alone_and_in_networks(general: Plan):
    operators = set(plugins.names("operator")) - {SKIP}
    assert general.parts is not None
    assert set(general.parts.by_name["operator"].choices) == operators
    for space in general.networks.values():
        assert set(space.by_name["layer0.operator"].choices) == operators


def test_networks_run_on_their_graphs_and_stay_small(general: Plan):
    kinds = set()
    for index in range(12):
        case = general.case(index)
        kinds.add((case.part, case.task.is_graph_task))
        load = case.workload
        assert 1 <= load.nodes <= 20_000
        assert load.nodes * case.task.n_features * 4 <= 10**9
        if load.nodes < 3000:
            with torch.inference_mode():
                output = general.network(case)(*inputs(case.task, load))
            assert len(output) == (load.graphs if case.task.is_graph_task else load.nodes)
    assert kinds == {(True, False), (False, False), (False, True)}


def test_what_would_be_too_large_is_drawn_smaller():
    """Of a graph of a million nodes no network is timed on more than a small machine bears."""
    space = gnn.build(TASK, depth=(3,), operators=("gat",), width=(256,), connectivity=("dense",))
    huge = Workload(1_000_000, 20_000_000)
    plan = plan_of(space, TASK, huge)
    sizes = [plan.case(index).workload.nodes for index in range(5)]
    assert max(sizes) < 250_000
    assert plan.ranges.nodes[0] == 250_000  # the control: what is drawn before


def test_a_study_is_planned_around_its_own_graph():
    plan = small_plan()
    cases = [plan.case(index) for index in range(60)]
    nodes = np.array([case.workload.nodes for case in cases])
    assert nodes.min() >= GRAPH.nodes // 4
    assert nodes.max() <= GRAPH.nodes * 4
    assert nodes.min() < GRAPH.nodes / 2 < GRAPH.nodes * 2 < nodes.max()
    whole = [case for case in cases if not case.part]
    assert {case.task.n_features for case in whole} == {TASK.n_features}
    assert plan.parts is not None
    assert set(plan.parts.by_name["operator"].choices) == {"gcn", "sage", "linear"}
    assert set(plan.parts.by_name["width"].choices) == {4, 8, 16}


def test_layers_take_the_choices_of_the_space_for_the_options_of_operators():
    space = gnn.build(TASK, operators=("gat", "tag"), width=(6, 12), heads=(1, 3), hops=(2,))
    parts = plan_of(space, TASK, GRAPH).parts
    assert parts is not None
    assert parts.by_name["heads"].choices == (1, 3)
    assert parts.by_name["hops"].choices == (2,)
    own = plugins.load("space", "nas_bench_graph").build(TASK)
    layers = plan_of(own, TASK, GRAPH).parts
    assert layers is not None
    assert "cheb" in layers.by_name["operator"].choices


def test_near_a_case_are_cases_like_it():
    plan = small_plan()
    case = plan.case(1)
    near = [plan.near(case, index) for index in range(40)]
    ratios = np.array([one.workload.nodes / case.workload.nodes for one in near])
    assert ratios.min() >= 0.5
    assert ratios.max() <= 2.0
    assert len({one.workload.nodes for one in near}) > 20
    changed = [
        sum(one.architecture.choices.get(k) != v for k, v in case.architecture.choices.items())
        for one in near
    ]
    assert 0 in changed
    assert max(changed) > 0


def test_a_plan_comes_back_from_what_a_profile_keeps(general: Plan):
    kept = json.loads(json.dumps(general.to_json()))
    assert plan_from_json(kept).to_json() == kept
    options = {"depth": [1, 2], "operators": ["gcn"], "width": [4, 8]}
    space = gnn.build(TASK, **options)
    plan = plan_of(space, TASK, GRAPH, seed=5, made_by=Plugin("gnn", options))
    kept = json.loads(json.dumps(plan.to_json()))
    again = plan_from_json(kept)
    assert again.to_json() == kept
    assert again.case(3) == plan.case(3)
    kept["space"]["options"]["width"] = [4, 8, 16]
    with pytest.raises(LatencyError, match="is not what it was"):
        plan_from_json(kept)
    with pytest.raises(LatencyError, match="made in Python"):
        plan_from_json(json.loads(json.dumps(plan_of(small_space(), TASK, GRAPH).to_json())))
