"""What to time for a profile: layers in isolation, and whole networks, on graphs of many sizes.

Everything is drawn from (seed, stream, index), so that a profile goes on where it was, and what a
check draws is never what a profile was made of. No case is larger than a small machine bears: one
that would be is drawn smaller.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from torch import nn

from evaluators.latency.layers import WIDTHS, layers, layers_of
from evaluators.latency.samples import Case, plain, task_of
from evaluators.latency.tracing import WORK, Trace
from evaluators.latency.values import LatencyError, Workload
from evaluators.latency.work import CandidateError, trace_of, work_of
from search_spaces import Architecture, SearchSpace, Task, gnn, plugins
from search_spaces.message_passing import ACTIVATIONS
from search_spaces.networks import SKIP
from search_spaces.plugins import Plugin
from search_spaces.task import TaskKind

Span: TypeAlias = tuple[float, float]
# Whose draws they are: of a profile; of a profile, near what it predicted worst; of a check.
Stream: TypeAlias = Literal["profile", "near", "check"]
_STREAMS: tuple[Stream, ...] = ("profile", "near", "check")

# One case in so many is a layer in isolation.
_PART_EVERY = 4
# Of a slow core: seconds for 10^9 operations of a product, and for 10^9 bytes of anything else.
_SECONDS_GFLOP, _SECONDS_GBYTE = 0.05, 0.3
_MOST_SECONDS, _MOST_BYTES = 0.4, 10**9
_PER_UNIT = np.array(
    [
        _SECONDS_GFLOP if ".gflop" in name else _SECONDS_GBYTE if ".gbytes" in name else 0.0
        for name in WORK
    ]
)


@dataclass(frozen=True)
class Ranges:
    """Smallest and largest of what is drawn, log-uniform but for the skew.

    Attributes:
        nodes: of one run, of all its graphs.
        degree: edges a node.
        graphs: of a run; of a graph task alone.
        features, classes: of the task.
    """

    nodes: Span = (100, 20_000)
    degree: Span = (1, 20)
    skew: Span = (0, 0.8)
    graphs: Span = (1, 100)
    features: Span = (8, 1500)
    classes: Span = (2, 40)

    @classmethod
    def around(cls, task: Task, workload: Workload) -> "Ranges":
        """Between a quarter and four times a workload, for a task with its own features."""
        nodes, degree = workload.nodes, workload.edges / workload.nodes
        return cls(
            nodes=(max(2, nodes / 4), nodes * 4),
            degree=(max(0.1, degree / 2), max(0.1, degree * 2)),
            skew=(max(0.0, workload.skew - 0.2), min(0.9, workload.skew + 0.2)),
            graphs=(max(1, workload.graphs / 4), workload.graphs * 4),
            features=(task.n_features, task.n_features),
            classes=(task.n_classes, task.n_classes),
        )


@dataclass(frozen=True, eq=False)
class Plan:
    """The cases of one profile.

    Attributes:
        networks: {kind of task: space}.
        parts: the space of layers in isolation; None where their operators are not known.
        ranges: of tasks and workloads.
        seed: of all draws.
        source: JSON that says what it was made from; see `plan_of` and `general_plan`.
    """

    networks: Mapping[TaskKind, SearchSpace]
    parts: SearchSpace | None
    ranges: Ranges
    seed: int
    source: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What a profile is bound to: equal for plans that draw the same cases."""
        return {
            **plain(self.source),
            "seed": self.seed,
            "ranges": {name: list(span) for name, span in asdict(self.ranges).items()},
            "spaces": {kind: space.digest for kind, space in self.networks.items()},
        }

    def space(self, case: Case) -> SearchSpace:
        """The space that a case's architecture is of."""
        if case.part and self.parts is not None:
            return self.parts
        return self.networks[case.task.kind]

    def network(self, case: Case) -> nn.Module:
        """The network of a case, with random weights."""
        return self.space(case).network(case.architecture, case.task).eval()

    def trace(self, case: Case) -> Trace:
        """What the network of a case does."""
        return work_of(self.space(case), case.architecture, case.task, case.workload)

    def case(self, index: int, stream: Stream = "profile") -> Case:
        """The case of this number: every few a layer, else a network, drawn from its space."""
        rng = self._rng(stream, index)
        part = self.parts is not None and stream == "profile" and index % _PART_EVERY == 0
        kinds = list(self.networks)
        # Node tasks come first, and two times in three.
        kind = kinds[0] if rng.random() < 2 / 3 else kinds[-1]
        features = self._between(rng, self.ranges.features)
        if part:
            kind = "node_classification"
            if rng.random() < 0.5:  # as wide as what layers hand on
                features = int(rng.choice(WIDTHS))
        workload = self._workload(rng, kind)
        task = task_of(kind, features, self._between(rng, self.ranges.classes), workload)
        space = self.parts if part and self.parts is not None else self.networks[kind]
        return self.bounded(Case(space.sample(rng), task, workload, part))

    def sample(self, kind: TaskKind, index: int, stream: Stream) -> Architecture:
        """The network of this number for a kind of task."""
        return self.networks[kind].sample(self._rng(stream, index, 2))

    def resized(self, case: Case, index: int, stream: Stream = "profile") -> Case:
        """The same network on another graph."""
        workload = self._workload(self._rng(stream, index, 1), case.task.kind)
        return self.bounded(case.on(workload))

    def near(self, case: Case, index: int) -> Case:
        """Another case close to one: one decision changed, or as it is; sizes up to doubled."""
        rng = self._rng("near", index)
        space = self.space(case)
        if space.mutable(case.architecture) and rng.random() < 0.5:
            case = replace(case, architecture=space.mutate(case.architecture, rng))
        old, scale = case.workload, 2 ** rng.uniform(-1, 1, size=2)
        nodes = round(np.clip(old.nodes * scale[0], *self.ranges.nodes))
        edges = round(nodes * np.clip(old.edges / old.nodes * scale[1], *self.ranges.degree))
        skew = float(np.clip(old.skew + rng.uniform(-0.1, 0.1), *self.ranges.skew))
        workload = Workload(nodes, edges, skew, min(old.graphs, nodes))
        return self.bounded(case.on(workload))

    def _rng(self, stream: Stream, *index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, _STREAMS.index(stream), *index])

    def _between(self, rng: np.random.Generator, span: Span) -> int:
        return max(1, round(float(np.exp(rng.uniform(*np.log(span))))))

    def _workload(self, rng: np.random.Generator, kind: TaskKind) -> Workload:
        nodes = self._between(rng, self.ranges.nodes)
        edges = round(nodes * np.exp(rng.uniform(*np.log(self.ranges.degree))))
        skew = rng.uniform(*self.ranges.skew)
        graphs = self._between(rng, self.ranges.graphs) if kind.startswith("graph") else 1
        return Workload(nodes, edges, skew, min(graphs, nodes))

    def bounded(self, case: Case) -> Case:
        """The case, on a smaller graph where it would take too long or too much memory."""
        while case.workload.nodes > 4 * case.workload.graphs:
            try:
                trace = trace_of(self.space(case), case.architecture, case.task, case.workload)
            except CandidateError:  # who times it will say why
                return case
            seconds = float(trace.work @ _PER_UNIT)
            size = (trace.peak_bytes or 0) + 4 * case.workload.nodes * case.task.n_features
            if seconds <= _MOST_SECONDS and size <= _MOST_BYTES:
                return case
            old = case.workload
            case = case.on(replace(old, nodes=old.nodes // 2, edges=old.edges // 2))
        return case


def general_plan(seed: int = 0) -> Plan:
    """The message-passing space with every operator, on graphs and tasks of any usual size."""
    operators = tuple(name for name in plugins.names("operator") if name != SKIP)
    spaces: dict[TaskKind, SearchSpace] = {}
    for kind in ("node_classification", "graph_classification"):
        task = task_of(kind, 8, 2, Workload(1, 1))
        spaces[kind] = gnn.build(
            task,
            depth=(1, 2, 3, 4),
            operators=operators,
            width=WIDTHS,
            activation=tuple(ACTIVATIONS),  # type: ignore[arg-type]
            pre_layers=(0, 1, 2),
            output=None if task.is_graph_task else operators,
        )
    return Plan(spaces, layers(operators, WIDTHS), Ranges(), seed, {"workload": None})


def plan_of(
    space: SearchSpace,
    task: Task,
    workload: Workload,
    *,
    seed: int = 0,
    made_by: Plugin | None = None,
) -> Plan:
    """The plan of a study: its space, on graphs around its own.

    Args:
        made_by: what built the space, so that `plan_from_json` can; None for one made in Python.
    """
    source = {
        "space": made_by and {"name": made_by.name, "options": dict(made_by.options)},
        "task": {"kind": task.kind, "features": task.n_features, "classes": task.n_classes},
        "workload": asdict(workload),
    }
    ranges = Ranges.around(task, workload)
    return Plan({task.kind: space}, layers_of(space), ranges, seed, source)


def plan_from_json(value: Mapping[str, Any]) -> Plan:
    """The plan again of which `Plan.to_json` was kept in a profile.

    Raises:
        LatencyError: its space was made in Python, or is not what it was.
    """
    if value["workload"] is None:
        plan = general_plan(value["seed"])
    else:
        if value["space"] is None:
            raise LatencyError(
                "the space of this profile was made in Python; hand it over again, as a plan"
            )
        name, options = value["space"]["name"], value["space"]["options"]
        workload, sizes = Workload(**value["workload"]), value["task"]
        task = task_of(sizes["kind"], sizes["features"], sizes["classes"], workload)
        space = plugins.load("space", name).build(task, **options)
        plan = plan_of(space, task, workload, seed=value["seed"], made_by=Plugin(name, options))
    if plan.to_json()["spaces"] != value["spaces"]:
        raise LatencyError(
            "the space of this profile is not what it was when it was made: an option or an "
            "operator has changed since; give the study file, or profile again"
        )
    return plan
