"""The evaluator `transfer`: what is learned of a teacher, by whom, and of which teacher."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from evaluators import Artifact, Evaluation, Job, artifacts, checkpoint, preparing, tensors
from evaluators._teaching import Lesson
from evaluators.artifacts import ArtifactError
from evaluators.datasets import Dataset, save_sealed
from evaluators.preparation import PreparationJob, Prepares
from evaluators.preparations.teacher import unpruned
from evaluators.run import run
from evaluators.transfer import build
from nas.contracts import graphs, networks
from search_spaces import PluginError, SpaceError, gnn
from search_spaces.plugins import Plugin

NODES, GRAPHS = graphs.node_graph(), graphs.graph_set()
EPOCHS, TEACHER_EPOCHS = 8, 25


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One for all tests here."""
    return artifacts.store_url(tmp_path_factory.mktemp("artifacts"))


def taught(store: str, dataset: Dataset = NODES, seed: int = 3, **options: Any) -> Artifact:
    """A teacher of the small space."""
    evaluator = build(dataset.task, teacher_epochs=TEACHER_EPOCHS, **options)
    assert isinstance(evaluator, Prepares)
    sealed = save_sealed(dataset.seal(), store)
    space, until = networks.small_space(dataset.task), evaluator.preparation.epochs
    job = PreparationJob(evaluator.preparation, space, sealed, store, seed, until)
    artifact = preparing.prepare(job).artifact
    assert artifact is not None
    return artifact


def another(artifact: Artifact, store: str, logits: Tensor) -> Artifact:
    """The same teacher, who says something else."""
    header, state = tensors.read(artifact, "preparation", "of a preparation")
    return tensors.write(store, "preparation", header, {**state, "logits": logits})


def a_job(
    teacher: Artifact | None,
    store: str,
    dataset: Dataset = NODES,
    width: int = 4,
    operator: str = "gcn",
    name: str = "transfer",
    **options: Any,
) -> Job:
    space = networks.small_space(dataset.task)
    given_ = {"depth": 1, "layer0.width": width, "layer0.operator": operator}
    student = space.fill(lambda decision: decision.choices[0], given_)
    plugin = Plugin(name, {"epochs": EPOCHS, **options})
    sealed = save_sealed(dataset.seal(), store)
    until = options.get("epochs", EPOCHS)
    return Job(student, space, plugin, sealed, store, 3, until, prepared=teacher)


def alone(job: Job) -> Evaluation:
    (evaluation,) = run([job])
    assert evaluation.failure is None, evaluation.failure
    return evaluation


def numbers(evaluation: Evaluation) -> tuple[dict[str, float], list[dict[str, bytes]]]:
    """Metrics and weights, comparable."""
    assert evaluation.artifact is not None
    weights = checkpoint.run_weights(evaluation.artifact)
    return (
        {k: v for k, v in evaluation.metrics.items() if not k.endswith("_seconds")},
        [{name: tensor.numpy().tobytes() for name, tensor in own.items()} for own in weights],
    )


@given(st.floats(0.01, 1), st.floats(0.5, 10), st.integers(0, 100))
def test_the_loss_is_the_formula(share: float, temperature: float, seed: int) -> None:
    """Beside torch's own divergence, of each run alone; 0 where a student predicts the same."""
    rng = torch.Generator().manual_seed(seed)
    teacher = torch.randn(5, 3, generator=rng, dtype=torch.float64)
    students = torch.randn(2, 5, 3, generator=rng, dtype=torch.float64)
    of_labels = torch.rand(2, generator=rng, dtype=torch.float64)
    lesson = Lesson(teacher, share, temperature, everywhere=True)
    targets = lesson.targets(lesson.units(torch.tensor([1])), torch.float64, torch.device("cpu"))
    found = lesson.losses(of_labels, students, targets)
    for k in range(2):
        p, q = (logits.div(temperature) for logits in (teacher, students[k]))
        apart = F.kl_div(q.log_softmax(-1), p.softmax(-1), reduction="batchmean")
        expected = (1 - share) * of_labels[k] + share * temperature**2 * apart
        assert float(found[k]) == pytest.approx(float(expected), rel=1e-9)
    same = lesson.losses(torch.zeros(1), (teacher + 1).unsqueeze(0), targets)
    assert float(same) == pytest.approx(0, abs=1e-9)
    assert float(found.min()) > 0


def test_no_gradient_goes_to_the_teacher() -> None:
    """The student has one, of the same loss."""
    teacher, student = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
    lesson = Lesson(teacher, 0.5, 2.0, everywhere=False)
    targets = lesson.targets(torch.arange(4), torch.float32, torch.device("cpu"))
    lesson.losses(torch.zeros(1), student.unsqueeze(0), targets).sum().backward()  # type: ignore[no-untyped-call]
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.abs().max() > 0


@pytest.mark.parametrize("dataset", [NODES, GRAPHS], ids=["nodes", "graphs"])
def test_without_a_share_it_is_training(dataset: Dataset, store: str) -> None:
    """Bit for bit, metrics and weights; with one it is not, and another share is another loss."""
    teacher = taught(store, dataset)
    plain = numbers(alone(a_job(None, store, dataset, name="training")))
    assert numbers(alone(a_job(teacher, store, dataset, share=0.0))) == plain
    half = numbers(alone(a_job(teacher, store, dataset, share=0.5)))
    assert half != plain
    assert half != numbers(alone(a_job(teacher, store, dataset, share=0.9)))
    hot = numbers(alone(a_job(teacher, store, dataset, share=0.5, temperature=1.0)))
    assert half != hot


def test_the_teacher_is_what_is_learned(store: str) -> None:
    """Of its predictions alone: labels of a good teacher's are reached, of a shuffled one's not."""
    teacher = taught(store)
    logits = preparing.weights(teacher)["logits"]
    right = 8 * F.one_hot(NODES.y, 3).float()
    wrong = right[torch.randperm(90, generator=torch.Generator().manual_seed(1))]
    assert logits.shape == right.shape
    given_: dict[str, Any] = {"share": 1.0, "epochs": 60, "dropout": 0.0, "lr": 0.02}
    reached = [
        alone(a_job(another(teacher, store, said), store, teaches="all", **given_)).metrics
        for said in (right, wrong)
    ]
    assert reached[0]["val_accuracy"] > reached[1]["val_accuracy"] + 0.1


def test_everywhere_is_more_than_at_labels(store: str) -> None:
    """What the teacher says where no label is counts there, and nowhere else."""
    teacher = taught(store)
    logits = preparing.weights(teacher)["logits"].clone()
    logits[~NODES.train] = logits[~NODES.train].roll(1, 1)
    other = another(teacher, store, logits)
    labeled = [numbers(alone(a_job(one, store))) for one in (teacher, other)]
    everywhere = [numbers(alone(a_job(one, store, teaches="all"))) for one in (teacher, other)]
    assert labeled[0] == labeled[1]
    assert everywhere[0] != everywhere[1]
    assert everywhere[0] != labeled[0]


@pytest.mark.parametrize("teaches", ["labeled", "all"])
def test_both_ways_of_training_learn_the_same(teaches: str, store: str) -> None:
    """The engine, and PyTorch Geometric's own layers; without a teacher it is another loss."""
    teacher = taught(store)
    options = {"dropout": 0.0, "teaches": teaches}
    fast = alone(a_job(teacher, store, **options))
    assert fast.notes["path"] == "fast"
    slow = _by_the_usual_loop(a_job(teacher, store, **options))
    assert slow == pytest.approx(fast.metrics["train_loss"], rel=1e-4)
    plain = alone(a_job(None, store, name="training", dropout=0.0)).metrics["train_loss"]
    assert plain != pytest.approx(fast.metrics["train_loss"], rel=1e-2)


def _by_the_usual_loop(job: Job) -> float:
    """The training loss of the same job at its best epoch."""
    from evaluators import _stock
    from evaluators._batches import batches_of
    from evaluators.transfer import Transfer

    assert job.dataset is not None
    batches = batches_of(job.dataset)
    evaluator = build(batches.dataset.task, **job.evaluator.options)
    assert isinstance(evaluator, Transfer)
    (one,) = evaluator._runs(job)
    with torch.random.fork_rng(devices=[]):
        _stock.train(one, batches)
    return one.state.best_train_loss


def test_those_of_one_teacher_train_together(store: str) -> None:
    """Those of two do not: in one batch each has the numbers that it has alone."""
    one, other = taught(store), taught(store, seed=4)
    jobs = [a_job(teacher, store, width=w) for w in (4, 8) for teacher in (one, other)]
    jobs += [a_job(one, store, share=0.3), a_job(None, store, name="training")]
    together = [numbers(evaluation) for evaluation in run(jobs)]
    assert together == [numbers(alone(job)) for job in jobs]
    assert len({str(found) for found in together}) == len(jobs)


def test_a_teacher_of_something_else_is_refused(store: str) -> None:
    """Of another space; and a candidate without any."""
    teacher = taught(store)
    job = a_job(teacher, store)
    other = gnn.build(NODES.task, depth=[1], operators=["gcn"], width=[4])
    moved = replace(job, space=other, architecture=other.fill(lambda d: d.choices[0]))
    with pytest.raises(ArtifactError, match="prepared for another space"):
        run([moved])
    with pytest.raises(ArtifactError, match="it has no teacher"):
        run([replace(job, prepared=None)])
    assert alone(job).metrics


def test_a_teacher_that_knows_nothing_is_told_of(store: str) -> None:
    """One with learning rate 0; one that was trained is not, unless it says nothing."""
    trained = taught(store, lr=0.05, dropout=0.0)
    assert "warning" not in alone(a_job(trained, store)).notes
    told = alone(a_job(another(trained, store, torch.zeros(90, 3)), store)).notes["warning"]
    assert told.startswith("the teacher reaches val_accuracy 0.333, no more than a guess")
    assert "raise teacher_epochs" in told


def test_the_teacher_is_the_largest_but_for_what_is_said() -> None:
    """By decision; what is not there, or not decided in it, is refused by its name."""
    space = networks.small_space(NODES.task)
    largest = unpruned(space, {})
    assert (largest.choices["depth"], largest.choices["layer1.width"]) == (2, 8)
    chosen = unpruned(space, {"layer1.width": 4, "layer0.operator": "linear"})
    assert dict(chosen.choices) == {
        **largest.choices,
        "layer1.width": 4,
        "layer0.operator": "linear",
    }
    for given_, says in (
        ({"layer1.with": 4}, 'has no decision "layer1.with"; did you mean "layer1.width"'),
        ({"layer1.width": 5}, r'"layer1.width" expected one of \[4, 8\], got 5'),
        ({"depth": 1, "layer1.width": 4}, 'nothing is decided by "layer1.width"'),
    ):
        with pytest.raises(SpaceError, match=says):
            unpruned(space, given_)


def test_whole_graphs_are_taught_where_they_are_labeled() -> None:
    """All nodes of a graph are seen in training; all graphs are not."""
    with pytest.raises(PluginError, match='teaches: expected "labeled"'):
        build(GRAPHS.task, teaches="all")
    assert build(NODES.task, teaches="all")
