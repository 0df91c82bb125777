"""A device profiled round after round, with interruptions; where the rounds go."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up import TASK, made_up_profile, sample, small_plan
from torch import nn

from evaluators.latency.device import this_device
from evaluators.latency.plan import Plan, plan_of
from evaluators.latency.profile import load_profile, save_profile
from evaluators.latency.profiled import LEAST, Profile
from evaluators.latency.profiling import (
    Standing,
    check_goes_on,
    next_cases,
    predicted_before,
    profile_device,
)
from evaluators.latency.values import Device, LatencyError, ProfileError, Workload
from search_spaces import Architecture, Decision, SearchSpace, Task

GRAPH = Workload(60, 200, 0.3)


def tiny_plan(seed: int = 0) -> Plan:
    return plan_of(small_plan().networks["node_classification"], TASK, GRAPH, seed=seed)


@pytest.fixture(scope="module")
def device() -> Device:
    return this_device("here")


def test_a_profile_grows_and_goes_on_from_its_file(device: Device, tmp_path: Path):
    plan, path = tiny_plan(), tmp_path / "here.npz"
    told: list[Standing] = []
    profile = Profile.begun(device, "eager", plan.to_json())
    for rounds in (1, 2, 3):
        profile = profile_device(
            profile, plan, seconds=1e-6, save=lambda p: save_profile(p, path), report=told.append
        )
        assert len(profile.samples) == 8 * rounds
        profile = load_profile(path)
    assert [one.samples for one in told] == [8, 16, 24]
    assert profile.metrics == ("latency_ms",)
    assert profile.samples.case(0) == plan.case(0)
    assert profile.samples.case(17) == plan.case(17)
    assert (profile.samples.column("latency_ms") > 0).all()
    assert np.isfinite(profile.samples.column("spread")).all()
    assert (profile.samples.facts > 0).all()
    profile = profile_device(profile, plan, seconds=1e-6, save=lambda _: None)
    assert np.isnan(profile.samples.errors[:24]).all()
    assert np.isfinite(profile.samples.errors[24:]).all()  # predicted before they were timed


def test_half_of_a_round_goes_to_where_the_last_one_was_predicted_worst():
    plan = small_plan()
    profile = made_up_profile(plan=plan)
    errors = np.full(len(profile.samples), np.nan)
    errors[-8:] = [0.0, 0.5, 0.05, -0.9, 0.01, 0.2, 0.0, 0.02]
    worse = replace(profile, samples=replace(profile.samples, errors=errors))
    drawn, first = profile.drawn, len(profile.samples) - 8
    near = [plan.near(worse.samples.case(first + place), drawn + i) for i, place in
            enumerate([3, 1, 5])]  # fmt: skip
    assert next_cases(worse, plan)[:3] == near
    assert next_cases(worse, plan)[3:] == [plan.case(drawn + i) for i in range(3, 8)]
    assert next_cases(profile, plan) == [plan.case(drawn + i) for i in range(8)]


def test_compiled_networks_are_few_and_each_is_timed_on_several_graphs():
    plan = small_plan()
    profile = replace(made_up_profile(plan=plan), runtime="compiled")
    cases = next_cases(profile, plan)
    networks = {case.architecture.structure_key for case in cases}
    assert len(cases) == 16
    assert len(networks) == 2
    assert len({case.workload for case in cases}) == 16


def test_errors_are_of_what_was_known_before():
    plan = small_plan()
    profile = made_up_profile(plan=plan)
    new = [sample(plan, plan.case(index), speed=2.0) for index in range(100, 106)]
    errors = [one.error for one in predicted_before(profile, tuple(new))]
    assert np.median(errors) == pytest.approx(np.log(0.5), abs=0.2)
    empty = replace(profile, predictors={})
    assert np.isnan([one.error for one in predicted_before(empty, tuple(new))]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"runtime": "compiled"}, "of the runtime compiled"),
        ({"origin": "other"}, 'adapted from "other"'),
        ({"plan": {}}, "of another space, graph or seed"),
        ({"device": Device("here", "other", "0" * 32)}, "of another device: other"),
    ],
)
def test_samples_are_not_mixed(change: dict[str, object], said: str):
    plan = small_plan()
    profile = made_up_profile(LEAST, plan=plan)
    check_goes_on(profile, profile.device, "eager", plan)
    with pytest.raises(ProfileError, match=said):
        check_goes_on(replace(profile, **change), profile.device, "eager", plan)


def build_or_not(architecture: Architecture, task: Task) -> nn.Module:
    if architecture.choices["kind"] == "broken":
        raise ValueError("no such network")
    return Pointwise(task.n_features, task.n_classes)


class Pointwise(nn.Linear):
    def forward(self, x, edge_index):  # type: ignore[no-untyped-def, override]
        return super().forward(x)


@pytest.mark.parametrize("kinds", [("broken", "sound"), ("broken",)])
def test_networks_that_cannot_be_built_are_left_out(device: Device, kinds: tuple[str, ...]):
    space = SearchSpace("partly", 1, (Decision("kind", kinds),), build_or_not)
    plan = plan_of(space, TASK, GRAPH)
    told: list[Standing] = []
    begun = Profile.begun(device, "eager", plan.to_json())

    def go(seconds: float) -> Profile:
        return profile_device(begun, plan, seconds=seconds, save=lambda _: None, report=told.append)

    if kinds == ("broken",):
        with pytest.raises(LatencyError, match=r"nothing of .* could be timed.*no such network"):
            go(60)
        return
    profile = go(1e-6)
    assert 0 < len(profile.samples) < 8
    assert profile.drawn == 8
    assert any("no such network" in one.message for one in told)


def test_killed_or_interrupted_it_loses_a_round_at_most(tmp_path: Path):
    path = tmp_path / "here.npz"
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from test_profiling import tiny_plan\n"
        "from nas.latency.profiles import make_profile\n"
        f"make_profile({str(path)!r}, plan=tiny_plan(), minutes=5,\n"
        "    report=lambda s: print(s.samples, flush=True))\n"
    )
    for way in (signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        told = int(process.stdout.readline())
        process.send_signal(way)
        process.communicate(timeout=60)
        kept = len(load_profile(path).samples)
        assert kept in (told, told + 8)
    assert told >= 16  # it went on, and did not begin again
