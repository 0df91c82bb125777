"""One trained supernet, specialised for a device: the best network for each of several bounds.

One search for accuracy and predicted latency, in memory, whose candidates all bounds share, as in
Han Cai, Chuang Gan, Tianzhe Wang, Zhekai Zhang, Song Han: Once-for-All: Train One Network and
Specialize it for Efficient Deployment (2020). See docs/supernet.md.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluators.artifacts import store_url
from nas.latency.remeasure import Measure
from nas.latency.remeasure import measured as on_this_device
from nas.opening import Opened, opened
from nas.setup import PYTHON_SPACE
from nas.store import Store
from nas.store.rankings import stored_ranking
from nas.supernet import ranked
from nas.supernet._leaving import Leaving, leave, supernet_of
from nas.supernet._problem import Request, SpecialiseError, feasible, problem_of, searched
from nas.supernet._searching import Searching, Voice
from nas.supernet._winners import Specialisation, Winner
from nas.supernet.ranking import with_supernet
from search_spaces import SearchSpace

__all__ = [
    "Leaving",
    "Request",
    "Specialisation",
    "SpecialiseError",
    "Voice",
    "Winner",
    "specialise",
]

_NOWHERE, _NOBODY = Leaving(), Voice()


def specialise(
    name: str,
    request: Request,
    *,
    storage: str,
    data_root: Path,
    leaving: Leaving = _NOWHERE,
    space: SearchSpace | None = None,
    voice: Voice = _NOBODY,
    measure: Measure = on_this_device,
) -> Specialisation:
    """Search a study's supernet for the best network within each bound on latency.

    Args:
        name: of a study with the evaluator `inherited`, whose supernet is trained.
        request: bounds, device, and how to search.
        leaving: where the winners go.
        space: made in Python, where it was so when the study began.
        voice: who is told.
        measure: times networks.

    Raises:
        UsageError: no such study, supernet or device; nothing keeps a bound; something is where
            winners are to go. Nothing was searched then.
        ComparisonError: the first candidates failed, one after the other.
        ConfirmError: a winner could not be trained alone.
    """
    where = f'specialising study "{name}"'
    leaving.check()
    store = Store.open_existing(storage)
    study = opened(
        store,
        name,
        data_root,
        space,
        changed=lambda spec: searched(spec, request),
        with_latency=False,
    )
    with_supernet(study)
    if leaving.write_study is not None and study.setup.spec.space.name == PYTHON_SPACE:
        raise SpecialiseError(f"{where}: write_study: a space made in Python is in no study file")
    with tempfile.TemporaryDirectory(prefix="nas-specialise-") as folder:
        search = _checked(study, request, store_url(Path(folder)), where)
        voice.say(_trust(name, stored_ranking(store, name)))
        began = time.perf_counter()
        candidates = search.candidates(voice)
        seconds = time.perf_counter() - began
        winners = search.winners(candidates, measure, voice)
        left = leave(search, winners, leaving, voice)
    latency = search.setup.latency
    return Specialisation(
        study=name,
        device="" if latency is None else latency.profile.name,
        metric=next(iter(search.setup.objectives)),
        evaluations=search.ended,
        seconds=round(seconds, 3),
        winners=tuple(left),
    )


def _trust(name: str, ranking: Mapping[str, Any] | None) -> str:
    """Whether what is foreseen can be trusted, as far as it is known."""
    if ranking is None:
        return f"whether slices rank well is not measured yet: nas supernet rank {name}"
    return f"{'' if ranking['is_enough'] else 'warning: '}slices rank with {ranked(ranking)}"


def _checked(study: Opened, request: Request, checkpoints: str, where: str) -> Searching:
    """The search, when all bounds can be kept and the supernet is there.

    Raises:
        UsageError: one of these is not so.
    """
    setup = problem_of(study.setup, request, where)
    dataset = setup.sealed(study.artifacts)
    if dataset is None:
        raise SpecialiseError(f"{where}: it has no dataset")
    start = feasible(setup, request, where)
    search = Searching(setup, request, dataset, checkpoints, start)
    for architecture in start:
        supernet_of(setup, search.job(architecture))
    return search
