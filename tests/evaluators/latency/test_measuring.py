"""Timing in turns, on a machine whose time is made up, and once on this one."""

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import torch

from evaluators.latency.clocks import Run, Sample
from evaluators.latency.measuring import LEAST_ROUNDS, MOST_DRIFT, TRIES, measure
from evaluators.latency.values import LatencyError, Timing

# The reference runs so often before the first round, and in each round.
_WARM, _EACH = 4, 6


@dataclass
class Machine:
    """Its functions return the seconds that they take; `slow` makes all of them slower, by round.

    Attributes:
        slow: factor in a round, from 0.
        seen: of what ran, in its order.
    """

    slow: Callable[[int], float] = lambda _round: 1.0
    seen: list[str] = field(default_factory=list)

    @property
    def round(self) -> int:
        return (max(_WARM + 1, self.seen.count("reference")) - _WARM - 1) // _EACH

    def clock(self, run: Run, times: int) -> Sample:
        seconds = [float(str(run())) for _ in range(times)]
        mean = sum(seconds) / times * self.slow(self.round)
        return Sample(mean, 2 * mean, mean)

    def network(self, name: str, seconds: Callable[[], float]) -> Run:
        def run() -> float:
            self.seen.append(name)
            return seconds()

        return run

    def measure(self, *seconds: float, rounds: int = 9) -> list[Timing]:
        """Time networks that take so many seconds each, and are called by their numbers."""
        runs = [self.network(str(n), partial(float, s)) for n, s in enumerate(seconds)]
        return self.measured(*runs, rounds=rounds)

    def measured(self, *runs: Run, rounds: int = 9, powercap: Path = Path("/none")) -> list[Timing]:
        return measure(
            runs,
            rounds=rounds,
            clock=self.clock,
            reference=self.network("reference", lambda: 1e-3),
            powercap=powercap,
        )


def test_a_steady_machine() -> None:
    """Both clocks, by their quartiles; nothing is noisy."""
    first, second = Machine().measure(0.004, 0.001)
    assert first.latency_ms == first.cpu_ms == first.cpu_median_ms == pytest.approx(4)
    assert first.wall_ms == first.wall_median_ms == pytest.approx(8)
    assert second.latency_ms == pytest.approx(1)
    assert (first.rounds, first.drift, first.spread, first.noisy) == (9, 0, 0, False)
    assert first.load > 0
    assert first.energy_mj is None


def test_rounds_in_which_the_machine_was_slow_are_repeated() -> None:
    """They leave no trace but their time: the figures are those of a steady machine."""
    machine = Machine(lambda number: 1.5 if number in (2, 3) else 1.0)
    (timing,) = machine.measure(0.004)
    assert machine.round == 10
    assert (timing.rounds, timing.noisy) == (9, False)
    assert timing.cpu_median_ms == pytest.approx(4)
    assert timing.drift == 0


def test_a_slow_beginning_is_noticed_once_the_machine_is_faster() -> None:
    """Though its rounds were steady among themselves."""
    machine = Machine(lambda number: 1.3 if number < 4 else 1.0)
    (timing,) = machine.measure(0.004)
    assert machine.round == 12
    assert timing.latency_ms == pytest.approx(4)
    assert (timing.rounds, timing.noisy) == (9, False)


@pytest.mark.parametrize(("excess", "rounds"), [(-0.01, 9), (0.01, 17)])
def test_drift_is_allowed_up_to_its_bound(excess: float, rounds: int) -> None:
    """Every other round is slower: by a little less than the bound, or a little more."""
    factor = 1 + MOST_DRIFT + excess
    machine = Machine(lambda number: factor if number % 2 else 1.0)
    (timing,) = machine.measure(0.004)
    assert machine.round + 1 == rounds
    assert timing.drift == pytest.approx(factor - 1 if excess < 0 else 0)
    assert not timing.noisy


def test_a_machine_that_never_gets_steady_is_said_to_be_noisy() -> None:
    """Repeating has an end, and the steadiest rounds are what is left."""
    machine = Machine(lambda number: 1 + (7 * number % 18) / 10)
    (timing,) = machine.measure(0.004)
    assert machine.round + 1 == TRIES * 9
    assert timing.noisy
    assert timing.rounds == 9
    assert timing.drift > MOST_DRIFT
    assert timing.latency_ms < 1.5 * 4


def test_a_network_whose_own_times_are_spread_is_noisy() -> None:
    """Those beside it are not."""
    machine = Machine()
    times = iter(0.004 * (1 + number % 4) for number in range(100))
    wild, tame = machine.measured(
        machine.network("wild", lambda: next(times)), machine.network("tame", lambda: 0.004)
    )
    assert wild.noisy
    assert wild.spread > 0.1
    assert wild.drift == 0
    assert not tame.noisy


def test_networks_run_in_turns() -> None:
    """A B A B, between references; what is short is repeated until it can be told."""
    machine = Machine()
    machine.measure(0.004, 0.0003, rounds=6)
    each = ["reference"] * 3 + ["0"] + ["1"] * 2 + ["reference"] * 3
    assert machine.seen[-6 * len(each) :] == 6 * each


@pytest.mark.parametrize(
    ("seconds", "asked", "rounds"),
    [(0.01, 9, 9), (0.5, 9, 5), (20.0, 9, LEAST_ROUNDS), (20.0, 3, 3)],
)
def test_slow_networks_get_fewer_rounds(seconds: float, asked: int, rounds: int) -> None:
    """Never fewer than make a quartile, unless fewer are asked for."""
    (timing,) = Machine().measure(seconds, rounds=asked)
    assert timing.rounds == rounds


def test_energy_of_one_run(tmp_path: Path) -> None:
    """By a counter that goes on by 3 mJ at each run; references are not in it."""
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "max_energy_range_uj").write_text("1000000000")
    (zone / "energy_uj").write_text("0")

    def seconds() -> float:
        spent = int((zone / "energy_uj").read_text())
        (zone / "energy_uj").write_text(str(spent + 3000))
        return 0.05

    machine = Machine()
    (timing,) = machine.measured(machine.network("a", seconds), powercap=tmp_path)
    assert timing.energy_mj == pytest.approx(3)


def test_this_machine() -> None:
    """A sleep takes wall time and no CPU time; one thread's figure is its CPU time."""
    told: list[tuple[int, int]] = []
    (timing,) = measure(
        [lambda: time.sleep(0.005)], rounds=5, report=lambda *done: told.append(done)
    )
    assert timing.wall_ms >= 5
    assert timing.cpu_ms < timing.wall_ms
    assert timing.latency_ms == timing.cpu_ms
    assert told[-1][1] == 5
    assert len(told) <= TRIES * 5


def test_the_process_is_left_as_it_was() -> None:
    """Threads, cores and garbage collection, also after an error; meanwhile they are bound."""
    threads, cores = torch.get_num_threads(), os.sched_getaffinity(0)
    torch.set_num_threads(2)
    seen = []

    def state() -> tuple[int, int, bool]:
        return torch.get_num_threads(), len(os.sched_getaffinity(0)), gc.isenabled()

    try:
        measure([lambda: seen.append(state())], rounds=1)
        assert set(seen) == {(1, 1, False)}
        assert state() == (2, len(cores), True)
        with pytest.raises(ZeroDivisionError):
            measure([lambda: 1 / 0])
        assert state() == (2, len(cores), True)
    finally:
        torch.set_num_threads(threads)


def test_more_threads_than_cores_are_refused() -> None:
    """Nothing has run by then."""
    seen: list[int] = []
    with pytest.raises(LatencyError, match="threads: expected 1 to"):
        measure([lambda: seen.append(1)], threads=10_000)
    assert seen == []
    assert measure([]) == []


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has no room for two threads")
@pytest.mark.parametrize(
    ("threads", "others", "noisy"), [(2, 1, True), (2, 0, False), (1, 1, False)]
)
def test_several_threads_need_their_cores_all_at_a_time(
    monkeypatch: pytest.MonkeyPatch, threads: int, others: int, noisy: bool
) -> None:
    """On two cores another process, always there, makes two threads wait in every round alike."""
    monkeypatch.setattr("evaluators.latency.measuring.os.cpu_count", lambda: 2)
    monkeypatch.setattr("evaluators.latency.measuring.load", lambda: (1 + others) / 2)
    machine = Machine()
    (timing,) = measure(
        [machine.network("0", lambda: 0.004)],
        threads=threads,
        clock=machine.clock,
        reference=machine.network("reference", lambda: 1e-3),
    )
    assert timing.noisy is noisy
    assert timing.drift == 0
