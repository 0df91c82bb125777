"""A profile of another device from a few probes."""

import numpy as np
import pytest
from made_up import TASK, made_up_profile, sample, small_plan

from evaluators.latency.adapting import Probed, adapt, choose
from evaluators.latency.device import this_device
from evaluators.latency.plan import plan_of
from evaluators.latency.profiled import Profile
from evaluators.latency.samples import Samples
from evaluators.latency.values import Device, LatencyError, Workload


def spread(profile: Profile, chosen: list[int]) -> float:
    """log det of what these samples tell about the costs of kinds of work."""
    works = profile.samples.works * profile.predictors["latency_ms"].cost
    shares = works / works.sum(axis=1, keepdims=True)
    rows = shares[chosen]
    return float(np.linalg.slogdet(np.eye(rows.shape[1]) + 1000 * rows.T @ rows)[1])


def test_probes_tell_more_than_random_ones_and_are_networks():
    profile = made_up_profile(120)
    chosen = choose(profile, 10)
    assert not any(case.part for case in chosen)
    assert len({case.architecture.key for case in chosen}) > 5
    cases = [profile.samples.case(index) for index in range(120)]
    networks = [index for index, case in enumerate(cases) if not case.part]
    places = [cases.index(case) for case in chosen]
    rng = np.random.default_rng(0)
    random = [spread(profile, rng.choice(networks, 10, replace=False).tolist()) for _ in range(30)]
    assert spread(profile, places) > np.median(random)
    sizes = np.array([case.workload.nodes for case in chosen])
    assert sizes.max() / sizes.min() > 4
    assert choose(profile, 4) == chosen[:4]


def test_a_device_of_other_speeds_is_predicted_from_ten_probes():
    """Calls take twice, the rest three times as long: the origin is far off, the result is not."""
    plan = small_plan()
    profile = made_up_profile(120, plan=plan)
    probes = [sample(plan, case, speed=3.0) for case in choose(profile, 10)]
    predictor = profile.predictors["latency_ms"].adapted(
        Samples.of(probes).works,
        [one.case.workload for one in probes],
        [one.timing.latency_ms for one in probes],
    )
    new = [sample(plan, plan.case(index), speed=3.0) for index in range(200, 230)]
    measured = np.array([one.timing.latency_ms for one in new])
    works, sizes = Samples.of(new).works, [one.case.workload for one in new]
    off = np.abs(np.log(predictor.predict_many(works, sizes)[0] / measured))
    before = np.abs(
        np.log(profile.predictors["latency_ms"].predict_many(works, sizes)[0] / measured)
    )
    assert np.median(off) < 0.1
    assert np.median(before) > 0.9


def test_adapting_times_the_probes_here_and_marks_where_it_came_from():
    plan = plan_of(small_plan().networks["node_classification"], TASK, Workload(60, 200, 0.3))
    source = made_up_profile(plan=plan, device=Device("far", "another processor", "0" * 32))
    told: list[Probed] = []
    here = this_device("here")
    adapted = adapt(source, plan, here, "eager", probes=6, report=told.append)
    assert adapted.origin == "far"
    assert adapted.device == here
    assert len(adapted.samples) == 6
    assert [one.done for one in told] == [5, 6]
    assert adapted.metrics == ("latency_ms",)
    case = plan.case(900)
    assert adapted.predict(plan.trace(case), case.workload).mean > 0
    with pytest.raises(LatencyError, match='was adapted itself; adapt from "far"'):
        adapt(adapted, plan, here, "eager")


def test_what_cannot_be_adapted():
    plan, here = small_plan(), this_device("here")
    empty = Profile.begun(here, "eager", plan.to_json())
    with pytest.raises(LatencyError, match="has 0 samples, too few to adapt"):
        adapt(empty, plan, here, "eager")
    with pytest.raises(LatencyError, match="0 of 10 probes could be timed"):
        adapt(made_up_profile(plan=plan), plan, here, "eager", seconds=0)
