"""A profile's file, and what it refuses to say."""

import json
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import DEVICE, GRAPH, known_trace, made_up_profile, sample, small_plan, timing

from evaluators.latency.profile import (
    Profile,
    check_writable,
    device_name,
    load_profile,
    profile_path,
    save_profile,
)
from evaluators.latency.profiled import LEAST
from evaluators.latency.samples import Samples
from evaluators.latency.tracing import WORK, Trace
from evaluators.latency.values import (
    LatencyError,
    ProfileError,
    UnknownOperatorError,
    Workload,
)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return made_up_profile()


@pytest.fixture
def saved(profile: Profile, tmp_path: Path) -> Path:
    path = tmp_path / "devices" / "made-up.npz"
    save_profile(profile, path)
    return path


def test_what_is_read_predicts_what_was_written(profile: Profile, saved: Path):
    """To the last bit, and equal profiles are equal files."""
    read = load_profile(saved)
    for index in range(5):
        trace = Trace(profile.samples.works[index], frozenset(), 0, 0)
        size = profile.samples.sizes()[index]
        assert read.predict(trace, size) == profile.predict(trace, size)
    assert read.device == profile.device
    assert read.samples.case(7) == profile.samples.case(7)
    again = saved.with_name("again.npz")
    save_profile(read, again)
    assert again.read_bytes() == saved.read_bytes()


def test_it_is_json_and_arrays_without_pickles(saved: Path):
    with zipfile.ZipFile(saved) as archive:
        others = [name for name in archive.namelist() if not name.endswith(".npy")]
        assert others == ["profile.json"]
        assert json.loads(archive.read("profile.json"))["format"] == "gnn-nas latency profile"
    with np.load(saved, allow_pickle=False) as arrays:
        kinds = {arrays[name].dtype.kind for name in arrays.files if name != "profile.json"}
    assert kinds <= set("fiubU")


def test_it_loads_and_predicts_without_scikit_learn(saved: Path):
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from evaluators.latency.profile import load_profile\n"
        "from evaluators.latency.tracing import Trace\n"
        f"profile = load_profile({str(saved)!r})\n"
        "trace = Trace(profile.samples.works[0], frozenset(), 0, 0)\n"
        "print(profile.predict(trace, profile.samples.sizes()[0]).mean)\n"
        "import sklearn\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert float(result.stdout) > 0
    assert "ModuleNotFoundError" in result.stderr


def test_names_are_found_in_the_folder_of_devices(saved: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NAS_DEVICES", str(saved.parent))
    assert load_profile("made-up").name == "made-up"
    with pytest.raises(ProfileError, match='did you mean "made-up"'):
        load_profile("mad-up")
    monkeypatch.setenv("NAS_DEVICES", str(saved.parent / "none"))
    with pytest.raises(ProfileError, match="nas latency profile --device made-up"):
        load_profile("made-up")
    with pytest.raises(
        ProfileError, match=r"there is no profile .*other.npz; make one with: nas latency"
    ):
        load_profile(saved.with_name("other.npz"))


def _header(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write the file anew with another header."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(entries["profile.json"])
    changed = change(header)
    entries["profile.json"] = json.dumps(header if changed is None else changed).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda header: header.update(version=2), "version 2, of a later release"),
        (lambda header: header.update(version="1"), "is damaged: it has no version; restore"),
        (lambda header: header.update(format="other"), 'expected format "gnn-nas .*got \'other\''),
        (lambda _: [1], "expected format"),
        (lambda header: header.update(work=["product.calls"]), "other kinds of work"),
        (lambda header: header.update(work=5), "damaged, cut short or no profile"),
        (lambda header: header.update(device="x"), "damaged: .* does not fit together"),
        (lambda header: header.update(device={}), "damaged: .* does not fit together; restore"),
        (lambda header: header["device"].update(cores=2), "damaged: .* does not fit together"),
        (lambda header: header.update(cases=[]), "damaged: .* does not fit together"),
        (lambda header: header.update(timings=[]), "damaged: .* does not fit together"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_used_is_named(
    saved: Path, change: Callable[[dict[str, Any]], Any], said: str
):
    _header(saved, lambda _: None)
    load_profile(saved)  # rewritten as it was, it can be read
    _header(saved, change)
    with pytest.raises(ProfileError, match=said) as error:
        load_profile(saved)
    assert str(saved) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_cut_short_or_damaged(saved: Path):
    whole = saved.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(ProfileError, match="damaged, cut short or no profile"):
            load_profile(saved)
    place = whole.index(b"samples/works.npy") + 2000
    saved.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    with pytest.raises(ProfileError, match="damaged"):
        load_profile(saved)
    np.savez(saved, x=np.zeros(3))
    with pytest.raises(ProfileError, match=r"no profile of a device: it has no profile.json"):
        load_profile(saved)
    saved.write_bytes(whole)
    load_profile(saved)


def test_a_write_that_fails_leaves_what_was_there(profile: Profile, saved: Path):
    before = saved.read_bytes()
    with pytest.raises(TypeError):
        save_profile(replace(profile, plan={"seed": object()}), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_process_that_is_killed_while_it_writes_leaves_a_profile(saved: Path):
    code = (
        "from pathlib import Path\n"
        "from evaluators.latency.profile import load_profile, save_profile\n"
        f"path = Path({str(saved)!r})\n"
        "profile = load_profile(path)\n"
        "while True:\n    save_profile(profile, path); print('written', flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "written\n"
    for _ in range(40):
        load_profile(saved)
        time.sleep(0.005)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert len(load_profile(saved).samples) == 40


def test_another_machine_or_number_of_threads_is_refused_unless_accepted(profile: Profile):
    assert profile.used_on(DEVICE) is profile
    assert not profile.foreign
    assert profile.fits(replace(DEVICE, name="called otherwise"))
    for other in (replace(DEVICE, fingerprint="0" * 32), replace(DEVICE, threads=2)):
        with pytest.raises(ProfileError, match=r"of another device.*--accept-device"):
            profile.used_on(other)
        assert profile.used_on(other, accept_device=True).foreign


def test_what_was_never_timed_has_no_number(profile: Profile):
    assert profile.predict(known_trace(profile), GRAPH).mean > 0
    foreign = replace(known_trace(profile), unknown=frozenset({"fft"}))
    with pytest.raises(UnknownOperatorError, match=r"never timed what this network does \(fft\)"):
        profile.predict(foreign, GRAPH)
    assert profile.seen is not None
    work = np.where([name == "view.calls" for name in WORK], 0.0, profile.seen.work)
    without_views = replace(profile, seen=replace(profile.seen, work=work))
    with pytest.raises(UnknownOperatorError, match=r"never timed what .* \(view\)"):
        without_views.predict(known_trace(profile, view__calls=1), GRAPH)


def test_what_goes_beyond_the_profile_is_flagged(profile: Profile):
    trace = known_trace(profile)
    assert profile.predict(trace, GRAPH).beyond == ()
    most = int(profile.samples.workloads[:, 0].max())
    (said,) = profile.predict(trace, replace(GRAPH, nodes=2_000_000)).beyond
    assert said == f"nodes 2,000,000 > {most:,}"
    (said,) = profile.predict(trace, Workload(200, 1, 0.3)).beyond
    assert re.match(r"edges 1 < \d+", said)
    more = {"gather__gbytes__131072k": 1.0, "map__gbytes__131072k": 1.0, "map__gbytes__16384k": 1.0}
    said = profile.predict(known_trace(profile, **more), GRAPH).beyond
    assert said == ("larger tensors than any timed (gather, map)",)
    seen = profile.seen
    assert seen is not None
    wide = np.where([n[-12:] == ".gflop.side1" for n in WORK], 0.0, seen.work)
    narrow = replace(profile, seen=replace(seen, work=wide))
    (said_of_one,) = narrow.predict(known_trace(profile, product__gflop__side1=1.0), GRAPH).beyond
    assert said_of_one == "narrower products than any timed (product)"


def test_a_profile_of_another_release_of_torch_says_so(profile: Profile):
    assert profile.outdated == ""
    here = profile.versions["torch"]
    assert replace(profile, versions={"torch": "1.0.1"}).outdated == (
        f"profiled with torch 1.0.1, this is {here}"
    )
    patched = ".".join([*here.split(".")[:2], "99"])
    assert replace(profile, versions={"torch": patched}).outdated == ""


@pytest.mark.parametrize("name", ["a/b", "../x", "x.npz", "", ".x", "a b"])
def test_a_name_is_no_path(name: str, tmp_path: Path):
    with pytest.raises(ProfileError, match="expected as the name of a device"):
        device_name(name)
    if not name.endswith(".npz"):
        with pytest.raises(ProfileError, match=r"which ends in \.npz"):
            profile_path(name, tmp_path)
    assert profile_path(device_name("laptop-2.x_y"), tmp_path) == tmp_path / "laptop-2.x_y.npz"


def test_a_folder_that_cannot_be_written_to_is_an_error_with_a_remedy(
    profile: Profile, tmp_path: Path
):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        for write in (check_writable, lambda f: save_profile(profile, f / "x.npz")):
            with pytest.raises(ProfileError, match=f"be written to {folder}: .*NAS_DEVICES"):
                write(folder)
    check_writable(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_too_few_samples_predict_nothing():
    few = made_up_profile(LEAST - 1)
    with pytest.raises(LatencyError, match=f"has {LEAST - 1} samples, too few"):
        few.predict(Trace(few.samples.works[0], frozenset(), 0, 0), GRAPH)
    assert made_up_profile(LEAST).metrics == ("latency_ms",)


def test_energy_is_predicted_where_it_was_measured(profile: Profile, tmp_path: Path):
    with pytest.raises(LatencyError, match='does not predict "energy_mj"'):
        profile.predict(known_trace(profile), GRAPH, "energy_mj")
    plan = small_plan()
    samples = [sample(plan, plan.case(i)) for i in range(LEAST)]
    with_energy = [
        replace(s, timing=timing(s.timing.latency_ms, energy_mj=7 * s.timing.latency_ms))
        for s in samples
    ]
    both = replace(profile, samples=Samples.of(with_energy)).fitted()
    save_profile(both, tmp_path / "both.npz")
    read = load_profile(tmp_path / "both.npz")
    trace = samples[0].trace
    size = samples[0].case.workload
    ratio = read.predict(trace, size, "energy_mj").mean / read.predict(trace, size).mean
    assert ratio == pytest.approx(7, rel=0.2)
