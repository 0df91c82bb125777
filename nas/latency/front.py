"""When a study's front is measured on the device: at its end, or when somebody asks."""

from contextlib import ExitStack
from pathlib import Path

from evaluators.latency.values import LatencyError
from nas.opening import opened
from nas.record import TrialRecord
from nas.setup import Setup
from nas.spec import SpecError, StudySpec
from nas.store import Store, StoreError
from nas.store.runs import driving
from nas.telling import Report, Teller
from search_spaces import SearchSpace, UsageError


def remeasure(
    name: str,
    *,
    storage: str,
    data_root: Path,
    progress: Report | None = None,
    space: SearchSpace | None = None,
) -> list[TrialRecord]:
    """Measure the latency of a study's front on this device, and return the front as it is then.

    What was measured well is kept, and only what is missing is measured.

    Args:
        progress: told of what is done.
        space: made in Python, where it was so when the study began.

    Raises:
        UsageError: the study predicts no latency; its profile is not of this device, or has
            changed; another process drives the study.
    """
    store = Store.open_existing(storage)
    where = f'study "{name}"'
    if "latency" not in store.spec(name):
        raise SpecError(f"{where} has no [latency]: nothing was predicted that could be measured")
    study = opened(store, name, data_root, space, changed=lambda spec: on_any_device(spec, True))
    if study.setup.latency is not None and (refusal := study.setup.latency.refusal()):
        raise UsageError(f"{where} cannot be measured here: {refusal}")
    from nas.latency.remeasure import remeasure as measure_front

    with driving(store, name):
        measure_front(store, study.setup, Teller(store.status(name), None, progress).say)
    return store.front(name)


def measure_when_finished(store: Store, setup: Setup, teller: Teller) -> None:
    """Measure the front of a study that is finished, unless this is not its device.

    The last of its drivers does, when all workers have ended.
    """
    name = setup.spec.study.name
    status = store.status(name)
    if setup.latency is None or status.state != "finished" or status.drivers:
        return
    if not may_measure(store, setup.spec):
        return
    if refusal := setup.latency.refusal():
        teller.say(f"the front is not measured: {refusal}")
        return
    from nas.latency.remeasure import remeasure as measure_front

    with ExitStack() as stack:
        try:
            stack.enter_context(driving(store, name))
        except StoreError:  # another process has begun to, at the same moment
            return
        try:
            measure_front(store, setup, teller.say)
        except LatencyError as error:
            teller.say(f"warning: the front is not measured: {error}")


def may_measure(store: Store, spec: StudySpec) -> bool:
    """Whether a front's latency is wanted, and missing, or was measured on a busy device."""
    if spec.latency is None or not spec.latency.remeasure:
        return False
    return any(not trial.is_measured_well for trial in store.front(spec.study.name))


def on_any_device(spec: StudySpec, accepted: bool) -> StudySpec:
    """The specification, which accepts a profile of another machine where that is accepted.

    Raises:
        SpecError: there is no profile to be accepted.
    """
    if not accepted:
        return spec
    if spec.latency is None:
        raise SpecError(
            f'accept_device: study "{spec.study.name}" has no [latency], so there is no profile to '
            "accept; leave it out"
        )
    latency = spec.latency.model_copy(update={"accept_device": True})
    return spec.model_copy(update={"latency": latency})
