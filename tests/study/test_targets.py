"""What does not go with a target is refused before the search, with the choices to blame."""

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from nas.export import int8_static, onnx
from nas.spec import SpecError, StudySpec, spec_from_mapping
from nas.store import Store
from nas.study import check
from nas.targets import Refusal, refusals
from search_spaces import Architecture, Decision, SearchSpace, Task
from search_spaces.every_choice import every_choice

Says = Callable[[Architecture], str]


def _none(architecture: Architecture, task: Task) -> nn.Module:
    return nn.Identity()


def space(*decisions: Decision) -> SearchSpace:
    return SearchSpace("made", 1, decisions, _none)


LAYERS = space(
    Decision("depth", (1, 2, 3)),
    *(
        Decision(f"layer{i}.operator", ("a", "b", "c"), {"depth": tuple(range(i + 1, 4))})
        for i in range(3)
    ),
    *(Decision(f"layer{i}.heads", (1, 2), {f"layer{i}.operator": ("b",)}) for i in range(3)),
    Decision("output", ("x", "y")),
)


def found(of: SearchSpace, reason: Says) -> dict[str, tuple[Any, ...]]:
    """{decisions: their choices}, of what is refused."""
    refused = refusals(of, reason, list(every_choice(of)))
    return {" + ".join(each.choices): tuple(each.choices.values()) for each in refused}


def with_value(*values: object) -> Says:
    def reason(architecture: Architecture) -> str:
        return "why" if {*values} & {*architecture.choices.values()} else ""

    return reason


def test_nothing_is_refused_where_nothing_is_unfit() -> None:
    assert found(LAYERS, lambda _: "") == {}


def test_each_decision_that_is_enough_by_itself_is_named() -> None:
    """And neither the depth that has it, nor the heads that it has."""
    operators = {f"layer{i}.operator": (("b",),) for i in range(3)}
    assert found(LAYERS, with_value("b")) == operators
    assert found(LAYERS, with_value("c", 3)) == {
        "depth": ((3,),),
        **{f"layer{i}.operator": (("c",),) for i in range(2)},
    }
    both = {f"layer{i}.operator": (("a", "b"),) for i in range(3)}
    assert found(LAYERS, with_value("a", "b")) == both
    assert found(LAYERS, with_value("x", "b")) == {**operators, "output": (("x",),)}


def test_a_choice_that_needs_another_is_named_itself() -> None:
    heads = {f"layer{i}.heads": ((2,),) for i in range(3)}
    assert found(LAYERS, lambda a: "why" * any(a.choices.get(n) == 2 for n in heads)) == heads


def test_choices_that_are_unfit_only_together_are_named_together() -> None:
    """Where an architecture that was looked at has them; either alone is let through."""
    two = space(Decision("p", (1, 2)), Decision("q", (1, 2)), Decision("r", (1, 2, 3)))
    reason: Says = lambda a: "why" * (a.choices["p"] == a.choices["q"] == 2)  # noqa: E731
    cover = [two.architecture({"p": p, "q": p, "r": 3}) for p in (1, 2)]
    assert refusals(two, reason, cover) == [Refusal({"p": (2,), "q": (2,)}, "why")]


def test_a_space_of_which_nothing_is_fit_has_no_choice_to_blame() -> None:
    assert refusals(LAYERS, lambda _: "why", list(every_choice(LAYERS))) == [Refusal({}, "why")]


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'nas.db'}"


def spec(*targets: str, **tables: Mapping[str, Any]) -> StudySpec:
    given = {"space": {"depth": [1], "pre_layers": [0], "post_layers": [0]}, **tables}
    fixed = {"dataset": {"name": "fakes.graph"}, "budget": {"trials": 1}, "study": {"name": "s"}}
    return spec_from_mapping({**fixed, **given, "export": {"targets": list(targets)}}, "s.toml")


NEIGHBORS = {"extension": {"neighborhood": {"neighbors": [2, 5, 0]}}}
NO_MAPS = {"operators": ["arma", "skip"], "output": ["arma"], "depth": [1], "pre_layers": [0]}


@pytest.mark.parametrize(
    ("targets", "tables", "message"),
    [
        (
            ["pt2", "onnx"],
            NEIGHBORS,
            r'^the study: \[export\] targets: "onnx" cannot take neighbors = 2 or 5: it chooses '
            r"edges by sorting them, .*; leave them out of \[extension.neighborhood\]. "
            'Or leave "onnx" out of targets$',
        ),
        (["onnx"], {"extension": {"neighborhood": {"neighbors": [2]}}}, "cannot take the networks"),
        (
            ["int8_static"],
            {"space": {**NO_MAPS, "post_layers": [0, 1]}},
            r"cannot take post.layers = 0: nothing of this network .* out of \[space\]",
        ),
        (["onxx"], {}, 'no exporter is called "onxx"; did you mean "onnx"'),
        (
            ["fakes.nowhere"],
            {},
            r'\[export\] targets: the exporter "fakes.nowhere" cannot be impor',
        ),
        (
            ["fakes.graph"],
            {},
            r'\[export\] targets: the exporter "fakes.graph": expected `def build',
        ),
        ([], {}, "expected a list of exporters"),
        (["pt2", "pt2"], {}, "each once"),
    ],
)
def test_it_is_refused_before_anything_is_stored(
    storage: str, targets: list[str], tables: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        check(spec(*targets, **tables), storage=storage, data_root=Path())
    assert Store(storage).studies() == []


@pytest.mark.parametrize(
    ("targets", "tables"),
    [
        (["pt2", "onnx", "int8_static"], {}),
        (["pt2", "aoti"], NEIGHBORS),
        (["onnx"], {"extension": {"neighborhood": {"neighbors": [0]}}}),
    ],
)
def test_what_every_target_takes_is_not(
    storage: str, targets: list[str], tables: Mapping[str, Any]
) -> None:
    """The controls for those above."""
    setup = check(spec(*targets, **tables), storage=storage, data_root=Path())
    assert setup.spec.export is not None
    assert StudySpec.from_json(setup.spec.to_json()) == setup.spec


@pytest.fixture
def nothing_else_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    absent = ("onnxscript", "torchao")
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in absent else real(name, *rest),
    )


@pytest.mark.usefixtures("nothing_else_installed")
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("onnx", r'"onnx": .* onnxscript is not installed: pip install .gnn-nas\[onnx\]'),
        ("int8_static", r'"int8_static": .* not installed: pip install .gnn-nas\[int8\]'),
    ],
)
def test_a_package_that_is_not_there_is_named_with_its_command(
    storage: str, target: str, message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        check(spec("pt2", target), storage=storage, data_root=Path())
    check(spec("pt2"), storage=storage, data_root=Path())


def test_so_is_a_compiler(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SpecError, match=r'"aoti": this exporter compiles C\+\+'):
        check(spec("aoti"), storage=storage, data_root=Path())


def test_without_the_table_no_exporter_is_asked(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: object) -> str:
        raise AssertionError

    for exporter in (onnx.Onnx, int8_static.Int8Static):
        monkeypatch.setattr(exporter, "unfit", never)
        monkeypatch.setattr(exporter, "check_machine", never)
    tables = {"dataset": {"name": "fakes.graph"}, "budget": {"trials": 1}, "study": {"name": "s"}}
    check(spec_from_mapping({**tables, **NEIGHBORS}), storage=storage, data_root=Path())
    with pytest.raises(AssertionError):
        check(spec("onnx", **NEIGHBORS), storage=storage, data_root=Path())
