"""Figures of predictions, and a check of a profile on the device itself."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import GRAPH, TASK, made_up_profile, small_plan

from evaluators.latency.checking import check, figures
from evaluators.latency.device import this_device
from evaluators.latency.held_out import held_out
from evaluators.latency.plan import plan_of
from evaluators.latency.profiled import Profile
from evaluators.latency.values import LatencyError, UnknownOperatorError, Workload
from search_spaces import gnn


def test_figures_by_hand():
    measured = np.array([1.0, 2.0, 4.0, 10.0, 20.0, 40.0])
    predicted = measured * np.array([1.0, 1.05, 0.85, 1.15, 0.5, 1.0])
    found = figures("some", predicted, measured, [0, 0, 0, 1, 1, 1])
    assert found.mape == pytest.approx((0.05 + 0.15 + 0.15 + 0.5) / 6)
    assert found.within_10 == pytest.approx(3 / 6)
    assert found.within_20 == pytest.approx(5 / 6)
    assert found.spearman == pytest.approx(1 - 6 * 2 / (6 * 35))  # 11.5 and 10 change places
    assert found.kendall == pytest.approx(1 - 2 / 15)
    assert found.spearman_within == pytest.approx((1 + 0.5) / 2)  # of 1 and of 0.5


def test_ranks_within_a_graph_are_apart_from_ranks_over_all():
    """Who knows the sizes of graphs alone ranks pooled, and not within a graph."""
    rng = np.random.default_rng(0)
    graphs = np.repeat(np.arange(10), 20)
    measured = np.exp(graphs + 0.2 * rng.normal(size=200))
    by_size = np.exp(graphs + 0.2 * rng.normal(size=200))
    found = figures("sizes", by_size, measured, graphs)
    assert found.spearman > 0.95
    assert abs(found.spearman_within) < 0.3
    assert figures("itself", measured, measured, graphs).spearman_within == pytest.approx(1)


def test_of_constants_there_is_no_rank():
    found = figures("constant", np.ones(6), np.arange(1.0, 7.0), [0] * 6)
    assert np.isnan(found.spearman)
    assert found.to_json()["spearman"] is None


def test_held_out_networks_were_not_profiled_and_share_their_graphs():
    plan = small_plan()
    profile = made_up_profile(plan=plan)
    cases = held_out(profile, plan, networks=5, sizes=3)
    seen = {case["structure_key"] for case in profile.samples.cases}
    assert len(cases) == 15
    assert not any(case.architecture.structure_key in seen for case in cases)
    workloads = [case.workload for case in cases]
    assert len(set(workloads)) == 3
    assert len(set(workloads[:5])) == 1
    assert not set(workloads) & set(profile.samples.sizes())


def test_compiled_networks_are_checked_on_several_graphs_of_one_task():
    plan = small_plan()
    profile = replace(made_up_profile(plan=plan), runtime="compiled")
    cases = held_out(profile, plan, networks=4, sizes=3)
    compiled = {(c.architecture.structure_key, c.task.n_features, c.task.n_classes) for c in cases}
    assert len(compiled) == 4
    assert len({case.workload for case in cases}) == 3


def test_more_networks_than_the_space_has():
    space = gnn.build(TASK, depth=(1,), operators=("gcn",), width=(4,), activation=("relu",),
                      normalization=("none",), pre_layers=(0,), post_layers=(0,))  # fmt: skip
    plan = plan_of(space, TASK, GRAPH)
    assert space.size() == 2
    assert len(held_out(made_up_profile(plan=plan), plan, networks=2, sizes=1)) == 2  # all seen
    with pytest.raises(LatencyError, match="has 2 different networks, expected 3"):
        held_out(made_up_profile(plan=plan), plan, networks=3, sizes=1)


def test_a_check_times_everything_twice_and_compares():
    plan = plan_of(small_plan().networks["node_classification"], TASK, Workload(60, 200, 0.3))
    here = this_device("here")
    profile = made_up_profile(plan=plan, device=here)
    nearest = made_up_profile(plan=plan, speed=30.0)
    told: list[tuple[int, int]] = []
    checked = check(
        profile, plan, here, networks=4, sizes=2, nearest=nearest,
        report=lambda *done: told.append(done),
    )  # fmt: skip
    assert told[-1] == (16, 16)
    names = [row.name for row in checked.rows]
    assert names == ["predictor", "measured twice", "flops", "params", "nearest: made-up"]
    assert {row.pairs for row in checked.rows} == {8}
    assert checked.ceiling == checked.rows[1].within_10
    assert checked.rows[1].mape < checked.rows[4].mape  # 30 times too slow is further off
    assert [row.inside_90 is None for row in checked.rows] == [False, True, True, True, True]
    assert checked.apart_seconds > 0
    assert not checked.foreign
    elsewhere = replace(profile, device=replace(here, fingerprint="0" * 32))
    assert check(elsewhere, plan, here, networks=3, sizes=1).foreign
    assert checked.to_json()["rows"][0]["name"] == "predictor"


def test_a_profile_that_predicts_nothing_is_not_checked():
    plan = small_plan()
    empty = Profile.begun(this_device("here"), "eager", plan.to_json())
    with pytest.raises(LatencyError, match="has 0 samples, too few"):
        check(empty, plan, empty.device, networks=3, sizes=1)


def test_what_was_never_timed_is_refused_before_anything_is_measured():
    plan = small_plan()
    here = this_device("here")
    profile = made_up_profile(plan=plan, device=here)
    assert profile.seen is not None
    blind = replace(profile, seen=replace(profile.seen, work=0 * profile.seen.work))
    for subject, nearest in ((blind, None), (profile, blind)):
        told: list[int] = []
        with pytest.raises(UnknownOperatorError, match=r"never timed .*product"):
            check(
                subject, plan, here, networks=3, sizes=1, nearest=nearest,
                report=lambda done, _, told=told: told.append(done),
            )  # fmt: skip
        assert told == []
