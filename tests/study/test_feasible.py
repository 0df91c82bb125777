"""A constraint that nothing keeps ends a study before its first trial, with the nearest found."""

import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from fakes.studies import fake_spec
from fakes.table import worth
from torch import nn

from nas.cli import main
from nas.constraints import parse
from nas.feasible import MOST_TRIED, Nearest, nearest, refuse_infeasible
from nas.setting_up import set_up
from nas.setup import Setup
from nas.spec import SpecError, spec_from_mapping
from nas.store import Store
from search_spaces import Architecture, Decision, SearchSpace, Task

PLACES = 24


def _network(architecture: Architecture, task: Task) -> nn.Module:
    raise NotImplementedError


def digits_space(places: int = PLACES, digits: int = 10) -> SearchSpace:
    """Large: a decision that switches others on, and many digits."""
    kind = Decision("kind", ("short", "long"))
    values = tuple(range(digits))
    short = [Decision(f"d{i}", values) for i in range(places)]
    long = [Decision(f"e{i}", values, {"kind": ("long",)}) for i in range(places)]
    return SearchSpace("digits", 1, (kind, *short, *long), _network)


def total(architecture: Architecture) -> Mapping[str, float]:
    """The sum of the digits, as if it were a number of parameters."""
    return {"params": float(sum(c for c in architecture.choices.values() if isinstance(c, int)))}


def look(bound: str, space: SearchSpace, seed: int = 0, **more: Any) -> Nearest:
    return nearest(space, [parse(bound)], more.pop("facts", total), seed, **more)


def setup_of(*constraints: str, **tables: Any) -> Setup:
    study = {"constraints": list(constraints)}
    return set_up(fake_spec(3, study=study, **tables), Path())


class TestNearest:
    @pytest.mark.parametrize("seed", range(5))
    def test_it_descends_to_one_that_random_draws_do_not_find(self, seed: int) -> None:
        """Sums of random digits are 108 and more; the control looks at as many of them."""
        space = digits_space()
        found = look("params <= 20", space, seed)
        assert found.violation == 0
        assert found.facts["params"] <= 20
        assert found.tried < MOST_TRIED
        rng = np.random.default_rng(seed)
        drawn = [total(space.sample(rng))["params"] for _ in range(MOST_TRIED)]
        assert min(drawn) > 20

    def test_decisions_that_are_off_are_switched_on_where_that_helps(self) -> None:
        found = look("params >= 430", digits_space())
        assert found.violation == 0
        assert found.architecture is not None
        assert found.architecture.choices["kind"] == "long"

    @pytest.mark.parametrize(("bound", "best"), [("params <= -1", 0), ("params >= 1000", 432)])
    def test_it_ends_with_the_nearest(self, bound: str, best: float) -> None:
        found = look(bound, digits_space())
        assert found.facts["params"] == best
        assert found.tried == MOST_TRIED
        assert not found.complete

    def test_it_stops_at_the_first_that_keeps_all(self) -> None:
        assert look("params >= 0", digits_space()).tried == 1

    def test_a_small_space_is_gone_through(self) -> None:
        """One in a thousand keeps the bound, and has no neighbor that is nearer than others."""
        space = digits_space(3)
        needle = {"d0": 7, "d1": 3, "d2": 5}

        def facts(architecture: Architecture) -> Mapping[str, float]:
            return {"params": float(dict(architecture.structure) == {"kind": "short", **needle})}

        space = SearchSpace("s", 1, (Decision("kind", ("short",)), *space.decisions[1:4]), _network)
        assert look("params >= 1", space, facts=facts).violation == 0
        missed = look("params >= 2", space, facts=facts)
        assert (missed.complete, missed.tried, missed.facts) == (True, 1000, {"params": 1.0})

    def test_time_ends_it(self) -> None:
        def slow(architecture: Architecture) -> Mapping[str, float]:
            time.sleep(0.02)
            return total(architecture)

        began = time.monotonic()
        found = look("params <= -1", digits_space(), facts=slow, seconds=0.3)
        assert time.monotonic() - began < 1
        assert 5 < found.tried < 20

    def test_the_same_seed_finds_the_same(self) -> None:
        space = digits_space()
        assert look("params <= 20", space, 3) == look("params <= 20", space, 3)
        assert look("params <= 20", space, 3) != look("params <= 20", space, 4)

    def test_what_cannot_be_built_is_infeasible(self) -> None:
        """Every second one has no network; nothing at all has: nothing is found."""
        numbers = itertools.count()

        def half(architecture: Architecture) -> Mapping[str, float] | None:
            return total(architecture) if next(numbers) % 2 else None

        assert look("params <= 20", digits_space(), facts=half).violation == 0
        nothing = look("params <= 20", digits_space(2), facts=lambda _: None)
        assert nothing.architecture is None

    def test_given_ones_come_first(self) -> None:
        space = digits_space()
        zeros = space.fill(lambda decision: decision.choices[0])
        found = look("params <= 0", space, first=[zeros])
        assert (found.architecture, found.tried) == (zeros, 1)


class TestRefusal:
    @pytest.fixture(autouse=True)
    def _time_to_look(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A busy machine looks at fewer architectures in the time that there is."""
        monkeypatch.setattr("nas.feasible.MOST_SECONDS", 60.0)

    def test_the_message_has_the_nearest(self) -> None:
        with pytest.raises(SpecError) as error:
            refuse_infeasible(setup_of("params <= 10"), "a.toml")
        message = str(error.value)
        assert message.startswith("a.toml: [study] constraints: no architecture of the space keeps")
        # Width 2 on 3 features and 2 classes: (3 + 1) 2 + (2 + 1) 2.
        assert "keeps params <= 10: the nearest of its 320 has params = 14: kind=wide" in message
        assert "width=2" in message
        assert message.endswith("loosen the constraint or the space")

    def test_bounds_that_exclude_each_other(self) -> None:
        with pytest.raises(SpecError, match=r"keeps params <= 20 and macs >= 1000: the nearest"):
            refuse_infeasible(setup_of("params <= 20", "macs >= 1000"), "a.toml")

    @pytest.mark.parametrize("constraint", ["params <= 14", "val_loss >= 7", "macs >= 0"])
    def test_what_can_be_kept_or_is_not_known_yet_passes(self, constraint: str) -> None:
        refuse_infeasible(setup_of(constraint), "a.toml")

    def test_networks_that_cannot_be_built_are_not_the_constraint_s_fault(self) -> None:
        refuse_infeasible(setup_of("params <= 10", space={"kinds": ["broken"]}), "a.toml")

    def test_a_table_is_gone_through_with_all_of_its_metrics(self) -> None:
        """The control is a bound that exactly one architecture keeps."""

        def of_table(bound: float) -> Setup:
            tables = {
                "study": {"name": "t", "constraints": [f"val_accuracy >= {bound}"]},
                "space": {"name": "nas_bench_graph", "operators": ["gcn", "skip"]},
                "evaluator": {"name": "fakes.table"},
                "budget": {"trials": 3},
            }
            return set_up(spec_from_mapping(tables), Path())

        space = of_table(0).space
        best = max(worth(architecture, "val_accuracy") for architecture in space)
        refuse_infeasible(of_table(best), "a.toml")
        with pytest.raises(SpecError) as error:
            refuse_infeasible(of_table(best + 1e-9), "a.toml")
        assert f"the nearest of its {space.size()} has" in str(error.value)
        assert f"val_accuracy = {best:.15g}" in str(error.value)

    def test_of_a_table_that_is_too_large_nothing_is_said(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A search may find what few keep; it is not refused by a look at some."""
        monkeypatch.setattr("nas.feasible.LOOKING_UP_SECONDS", 0.0)
        tables = {
            "study": {"name": "t", "constraints": ["val_accuracy >= 2"]},
            "space": {"name": "nas_bench_graph", "operators": ["gcn", "skip"]},
            "evaluator": {"name": "fakes.table"},
            "budget": {"trials": 3},
        }
        refuse_infeasible(set_up(spec_from_mapping(tables), Path()), "a.toml")

    def test_a_search_ends_with_status_2_and_stores_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On the space of graph networks, which is too large to be gone through."""
        monkeypatch.setattr("nas.feasible.MOST_SECONDS", 3.0)
        (tmp_path / "a.toml").write_text(
            '[study]\nconstraints = ["params <= 10"]\n[dataset]\nname = "digits_knn"\n'
            "[budget]\nseconds = 3600\n"
        )
        storage = f"sqlite:///{tmp_path / 'nas.db'}"
        began = time.monotonic()
        result = CliRunner().invoke(
            main, ["search", str(tmp_path / "a.toml"), "--storage", storage]
        )
        assert time.monotonic() - began < 10
        assert result.exit_code == 2, result.output
        assert "no architecture was found that keeps params <= 10: the nearest of" in result.stderr
        assert Store(storage).studies() == []
