"""Training architectures alone, in studies beside the one in question: recorded, and resumable."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.opening import Opened
from nas.spec import StudySpec
from nas.study import resume, search
from nas.supernet.training import differing, kept_spec
from nas.telling import Report
from search_spaces import Architecture, SearchSpace, UsageError
from search_spaces.plugins import Plugin


@dataclass(frozen=True)
class Alone:
    """Trains architectures alone, as a study beside the one in question."""

    study: Opened
    storage: str
    data_root: Path
    executor: Plugin | None
    progress: Report | None
    space: SearchSpace | None

    def values(
        self, suffix: str, seed: int, drawn: Sequence[Architecture], epochs: int | None = None
    ) -> dict[str, float]:
        """The metric of each that could be trained, by key."""
        spec = self._spec(suffix, seed, drawn, epochs)
        store, name = self.study.store, spec.study.name
        given: dict[str, Any] = {
            "storage": self.storage,
            "data_root": self.data_root,
            "progress": self.progress,
            "space": self.space,
        }
        kept = kept_spec(store, name)
        if kept is not None and (more := _with_others(kept, spec)):
            spec, name = more, more.study.name
            kept = kept_spec(store, name)
        if kept is None:
            search(spec, **given, where=f'study "{name}"')
        elif differ := differing(kept, spec):
            raise UsageError(
                f'study "{name}" is there with other architectures or options '
                f"({', '.join(differ)}); delete it with nas delete {name}, and run this again"
            )
        else:
            resume(name, **given, executor=self.executor)
        metric = next(iter(spec.study.objectives))
        return {
            t.architecture.key: t.metrics[metric]
            for t in store.trials(name)
            if t.state == "complete" and t.architecture is not None
        }

    def _spec(
        self, suffix: str, seed: int, drawn: Sequence[Architecture], epochs: int | None
    ) -> StudySpec:
        setup = self.study.setup.alone
        spec = setup.spec.to_json()
        spec["study"] = {
            "name": f"{setup.spec.study.name}-{suffix}",
            "seed": seed,
            "objectives": [[f"val_{setup.task.metric}", "maximize"]],
            "start": [dict(a.choices) for a in drawn],
        }
        spec["strategy"] = {"name": "random"}
        spec["budget"] = {"trials": len(drawn)}
        for table in ("latency", "log"):
            spec.pop(table, None)
        if epochs is not None:
            spec["evaluator"]["epochs"] = epochs
        if self.executor is not None:
            spec["executor"] = {"name": self.executor.name, **self.executor.options}
        return StudySpec.from_json(spec)


def _with_others(kept: StudySpec, spec: StudySpec) -> StudySpec | None:
    """The same of another name, where a study differs in how many architectures it has alone.

    What both have is in the record already: nothing is trained twice.
    """
    alike = _in_study(kept, start=spec.study.start)
    if kept.study.start == spec.study.start or differing(alike, spec):
        return None
    name = f"{spec.study.name}-of-{len(spec.study.start)}"
    return _in_study(spec, name=name)


def _in_study(spec: StudySpec, **changes: Any) -> StudySpec:
    return spec.model_copy(update={"study": spec.study.model_copy(update=changes)})
