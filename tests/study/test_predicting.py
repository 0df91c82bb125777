"""What is said of predictions that something limits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.device import write_profile
from fakes.studies import fake_spec

from evaluators.facts import CandidateError
from nas.binding import refuse_change
from nas.latency.predicting import Latency
from nas.setting_up import set_up
from nas.setup import Setup
from nas.store import StoreError


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    write_profile(tmp_path)
    monkeypatch.setenv("NAS_DEVICES", str(tmp_path))
    return set_up(fake_spec(2, latency={"device": "here"}), Path())


def latency_of(setup: Setup) -> Latency:
    assert setup.latency is not None
    return setup.latency


def test_a_profile_of_another_release_of_torch_is_marked(setup: Setup) -> None:
    latency = latency_of(setup)
    architecture = setup.space.sample(np.random.default_rng(0))
    assert latency.mark(setup.space, architecture, setup.task) == ""
    old = replace(latency, profile=replace(latency.profile, versions={"torch": "1.0"}))
    mark = old.mark(setup.space, architecture, setup.task)
    assert mark.startswith("profiled with torch 1.0, this is ")


def test_what_was_never_timed_comes_with_the_network_that_does_it(setup: Setup) -> None:
    latency = latency_of(setup)
    architecture = setup.space.sample(np.random.default_rng(0))
    assert latency.facts(setup.space, architecture, setup.task)["latency_ms"] > 0
    seen = latency.profile.seen
    assert seen is not None
    blind = replace(latency.profile, seen=replace(seen, work=0 * seen.work))
    width = architecture.choices["width"]
    with pytest.raises(CandidateError, match=rf"never timed .*STUDY_FILE.* width={width}"):
        replace(latency, profile=blind).facts(setup.space, architecture, setup.task)


def test_a_changed_profile_is_shown_by_its_first_digits(setup: Setup) -> None:
    latency = latency_of(setup)
    stored = {
        "name": "some",
        "space": setup.space.to_json(),
        "task": vars(setup.task),
        "latency": latency.bound_to(),
    }
    refuse_change(stored, setup)
    was = {**stored, "latency": {**latency.bound_to(), "profile": "a" * 64}}
    with pytest.raises(StoreError) as error:
        refuse_change(was, setup)
    assert f"latency.profile: {'a' * 12} -> {latency.digest[:12]}\n" in str(error.value)
    assert f"the profile now has {len(latency.profile.samples)} samples" in str(error.value)
