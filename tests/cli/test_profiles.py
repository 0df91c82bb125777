"""`nas latency profile`, `adapt`, `check`, `devices`: from nothing to a checked profile."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from evaluators.latency.checking import Checked, Figures
from evaluators.latency.profile import load_profile, save_profile
from evaluators.latency.samples import TIMINGS
from nas.cli._profiling import write_checked, write_profile
from nas.cli.compare import _cores as cores

from .conftest import run

ROUND = "0.0001"


@pytest.fixture(scope="module")
def folder(study: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rounds of the tiny study's space, as the profile `box`."""
    folder = tmp_path_factory.mktemp("devices")
    for _ in range(3):
        run("latency", "profile", str(study["spec"]), "--device", "box", "--minutes", ROUND,
            "--devices", str(folder))  # fmt: skip
    return folder


def latency(folder: Path, *arguments: str, code: int = 0) -> Result:
    return run("latency", *arguments, "--devices", str(folder), code=code)


def test_a_profile_goes_on_by_its_name_alone(folder: Path):
    result = latency(folder, "profile", "--device", "box", "--minutes", ROUND)
    assert f"{folder / 'box.npz'}: " in result.stdout
    assert "32 samples; predicts latency_ms" in result.stdout
    assert "32 samples" in result.stderr
    assert len(load_profile("box", folder).samples) == 32


def test_devices_are_listed_with_what_cannot_be_read(folder: Path):
    (folder / "broken.npz").write_bytes(b"no zip")
    try:
        result = latency(folder, "devices", "--format", "json")
        text = latency(folder, "devices").stdout
    finally:
        (folder / "broken.npz").unlink()
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["box"]["this_machine"] is True
    assert (rows["box"]["runtime"], rows["box"]["threads"]) == ("eager", 1)
    assert rows["box"]["samples"] >= 24
    assert "damaged" in rows["broken"]["problem"]
    assert "warning: " in result.stderr
    assert "box" in text
    assert run("latency", "devices", "--devices", str(folder / "none")).stdout == ""


def test_a_check_prints_the_predictor_beside_the_device_and_what_noise_costs(folder: Path):
    arguments = ("check", "box", "--networks", "3", "--sizes", "2", "--nearest", "box")
    checked = json.loads(latency(folder, *arguments, "--format", "json").stdout)
    names = [row["name"] for row in checked["rows"]]
    assert names == ["predictor", "measured twice", "flops", "params", "nearest: box"]
    assert checked["rows"][0]["pairs"] == 6
    nearest = {"name": "nearest: box", "inside_90": None}
    assert checked["rows"][4] == checked["rows"][0] | nearest
    assert 0 <= checked["rows"][0]["inside_90"] <= 1
    assert checked["apart_seconds"] > 0
    text = latency(folder, "check", "box", "--networks", "3", "--sizes", "1").stdout
    assert "measured again, the device is within 10 % of itself" in text
    assert "inside 90 %" in text
    assert " s between the first time and the second" in text


def test_a_profile_of_another_release_of_torch_is_told_of(folder: Path, tmp_path: Path):
    save_profile(
        replace(load_profile("box", folder), versions={"torch": "1.0"}), tmp_path / "old.npz"
    )
    save_profile(load_profile("box", folder), tmp_path / "new.npz")
    rows = json.loads(latency(tmp_path, "devices", "--format", "json").stdout)
    notes = {row["name"]: row["note"] for row in rows}
    assert notes["new"] == ""
    assert notes["old"].startswith("profiled with torch 1.0, this is ")
    arguments = ("--networks", "3", "--sizes", "1")
    assert "profiled with torch 1.0" in latency(tmp_path, "check", "old", *arguments).stderr
    assert "profiled with" not in latency(tmp_path, "check", "new", *arguments).stderr


def test_without_a_ceiling_no_share_of_it_is_printed(capsys: pytest.CaptureFixture[str]):
    for again, said in ((0.0, False), (0.5, True)):
        rows = tuple(Figures(n, 1, 1, 1, 0.5, 0.4, w, 3) for n, w in (("a", 0.4), ("b", 0.5)))
        rows = (rows[0], replace(rows[1], within_10=again))
        write_checked(Checked(rows, 3, 1, 0.0, False, 0.0, 0.0, 7.0), "text")
        told = capsys.readouterr().out
        assert ("the predictor reaches 80% of that" in told) is said
        assert "nan" not in told


@pytest.mark.parametrize("name", ["a/b", "../x", "x.npz"])
def test_a_name_that_is_a_path_is_refused_and_writes_nothing(
    folder: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for arguments in (("profile",), ("adapt", "--from", "box")):
        said = latency(folder, *arguments, "--device", name, code=2).stderr
        assert said.startswith("error: expected as the name of a device")
        assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_refused_before_measuring(tmp_path: Path):
    (tmp_path / "file").touch()
    said = latency(tmp_path / "file" / "below", "profile", "--device", "box", code=2).stderr
    assert "cannot be written to" in said
    assert len(said.splitlines()) == 1


def test_two_threads_are_adapted_from_one_and_keep_their_origin(folder: Path):
    if cores() < 2:
        pytest.skip("needs two cores")
    arguments = ("adapt", "--from", "box", "--device", "box-2", "--threads", "2", "--probes", "4")
    result = latency(folder, *arguments, "--format", "json")
    (row,) = json.loads(result.stdout)
    assert (row["threads"], row["samples"], row["adapted_from"]) == (2, 4, "box")
    assert "4/4 probes timed" in result.stderr
    assert load_profile("box-2", folder).metrics == ("latency_ms",)
    assert "is there already" in latency(folder, *arguments, code=2).stderr
    refused = latency(folder, "profile", "--device", "box-2", code=2)
    assert 'adapted from "box"' in refused.stderr


def test_errors_are_one_line_and_say_what_to_do(folder: Path, study: dict[str, Any]):
    def said(*arguments: str) -> str:
        result = latency(folder, *arguments, code=2)
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        return result.stderr.splitlines()[-1]

    assert 'did you mean "box"' in said("check", "bix")
    assert 'did you mean "box"' in said("adapt", "--from", "bix")
    assert "give another name with --device" in said(
        "profile", str(study["spec"]), "--device", "box", "--seed", "9"
    )
    assert "--set changes keys of a study file" in said("profile", "--set", "a.b=1")
    assert "threads: expected 1 to" in said("profile", "--threads", "999")
    (folder / "cut.npz").write_bytes((folder / "box.npz").read_bytes()[:1000])
    assert "damaged, cut short or no profile" in said("profile", "--device", "cut")


def test_a_profile_of_another_machine_is_refused_unless_accepted(folder: Path):
    mine = load_profile("box", folder)
    other = replace(mine.device, name="far", machine="another processor", fingerprint="0" * 32)
    save_profile(replace(mine, device=other), folder / "far.npz")
    arguments = ("check", "far", "--networks", "3", "--sizes", "1")
    refused = latency(folder, *arguments, code=2).stderr
    assert "is of another device: another processor" in refused
    accepted = latency(folder, *arguments, "--accept-device", "--format", "json")
    assert json.loads(accepted.stdout)["foreign"] is True
    assert "is of another machine than this one" in accepted.stderr
    listed = json.loads(latency(folder, "devices", "--format", "json").stdout)
    assert {row["name"]: row.get("this_machine") for row in listed}["far"] is False


@pytest.mark.parametrize("noisy", [True, False])
def test_samples_of_a_noisy_machine_are_told_of(
    folder: Path, noisy: bool, capsys: pytest.CaptureFixture[str]
):
    mine = load_profile("box", folder)
    timings = mine.samples.timings.copy()
    timings[:, TIMINGS.index("noisy")] = noisy
    made = replace(mine, samples=replace(mine.samples, timings=timings))
    write_profile(made, folder / "box.npz", "text")
    told = capsys.readouterr().err
    assert ("100% of the samples were taken while this machine was busy" in told) is noisy
