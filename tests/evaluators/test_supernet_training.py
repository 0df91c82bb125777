"""How a supernet is trained: exactly resumed, fairly dealt, without what it must not see."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evaluators import Artifact, Batches
from evaluators.datasets import Dataset, save_sealed
from evaluators.preparation import Preparation, PreparationJob
from evaluators.preparations import supernet
from evaluators.preparations._sampling import Decks, anything, largest, opened
from evaluators.preparations._states import under
from evaluators.preparing import prepare, weights
from nas.contracts import graphs
from search_spaces import Architecture, PluginError, SearchSpace, gnn
from search_spaces.plugins import Plugin

NODES, GRAPHS = graphs.node_graph(), graphs.graph_set()
EPOCHS = 4
RECIPE: Mapping[str, Any] = {"epochs": EPOCHS, "steps": 2, "subnets": 3, "samples": 4}


def space(dataset: Dataset) -> SearchSpace:
    return gnn.build(
        dataset.task,
        depth=[1, 2],
        operators=["gcn", "gat"],
        width=[4, 8],
        heads=[1, 2],
        connectivity=["plain"],
    )


def job(store: str, dataset: Dataset = NODES, **options: Any) -> PreparationJob:
    given_ = {**RECIPE, **options}
    until = given_["epochs"] + given_.get("masked_epochs", 0)
    preparation = Preparation(Plugin("supernet", given_), until, 1.0)
    sealed = save_sealed(dataset.seal(), store)
    return PreparationJob(preparation, space(dataset), sealed, store, seed=3, until_epoch=until)


def each_epoch(work: PreparationJob, until: int | None = None) -> Iterator[dict[str, Tensor]]:
    """What is left after each epoch, of stretches of one epoch each."""
    left: Artifact | None = None
    for epoch in range(1, (until or work.until_epoch) + 1):
        advance = prepare(replace(work, until_epoch=epoch, resume=left))
        assert advance.failure is None, advance.failure
        assert advance.artifact is not None
        left = advance.artifact
        yield weights(left)


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "fair"},
        {"rule": "sandwich"},
        {"rule": "shrinking"},
        {"rule": "fair", "masked_epochs": 3},
        {"rule": "shrinking", "masked_epochs": 2},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_from_every_epoch_it_goes_on_as_if_nothing_had_happened(
    options: dict[str, Any], store: str
) -> None:
    """Every tensor and every metric, by each rule, where stages begin too; each epoch moves it."""
    work = job(store, **options)
    whole = prepare(work)
    assert whole.artifact is not None
    parts = list(each_epoch(work))
    assert equal(parts[-1], weights(whole.artifact))
    for before, after in pairwise(parts):
        assert not equal(under("weights", before), under("weights", after))


def test_of_graphs_it_is_resumed_too(store: str) -> None:
    """In batches of graphs in another order each epoch."""
    work = job(store, GRAPHS, batch_size=8)
    whole = prepare(work)
    assert whole.artifact is not None
    assert equal(list(each_epoch(work))[-1], weights(whole.artifact))


def test_shrinking_has_its_teacher_from_when_depth_opens(store: str) -> None:
    """The largest as it was then, to the end; sorted channels begin another optimization."""
    first, second, third, last = each_epoch(job(store, rule="shrinking"))
    assert not under("teacher", first)
    assert equal(under("teacher", second), under("weights", first))
    assert equal(under("teacher", last), under("weights", first))
    steps = [max(t.item() for t in under("adam/step", one).values()) for one in (second, third)]
    assert steps == [4, 2]


def test_shrinking_begins_with_the_largest_alone(store: str) -> None:
    """What only networks of one layer have is trained from when depth opens, and not before."""
    first, second = (
        under("adam/exp_avg", left).keys() for left in each_epoch(job(store, rule="shrinking"), 2)
    )
    shallow, deep = ({n for n in second if n.endswith(f"<layer{i}")} for i in (0, 1))
    of_one_layer = {n for n in shallow if n.startswith("post0")}
    assert of_one_layer
    assert not of_one_layer & first
    assert {n for n in deep if n.startswith("post0")} <= first


class TestSampling:
    SPACE = space(NODES)

    def counted(self, architectures: list[Architecture]) -> dict[str, list[int]]:
        """Of each decision, how often each of its choices was made."""
        return {
            d.name: [
                sum(a.choices.get(d.name) == choice for a in architectures) for choice in d.choices
            ]
            for d in self.SPACE.decisions
        }

    @settings(max_examples=30)
    @given(st.integers(1, 200), st.integers(0, 2**32))
    def test_every_choice_is_dealt_as_often_as_any_other(self, count: int, seed: int) -> None:
        """To within one, whenever it is stopped, of decisions that depend on others too."""
        decks = Decks(self.SPACE, np.random.default_rng(seed))
        counts = self.counted([decks.deal(anything) for _ in range(count)])
        assert all(max(numbers) - min(numbers) <= 1 for numbers in counts.values())

    def test_drawn_at_random_they_are_not(self) -> None:
        """The control."""
        rng = np.random.default_rng(0)
        counts = self.counted([self.SPACE.sample(rng) for _ in range(200)])
        assert sum(max(numbers) - min(numbers) > 1 for numbers in counts.values()) > 5

    def test_shrinking_deals_nothing_that_is_not_open(self) -> None:
        """Scales are at their largest until their stage; then all choices come up."""
        opens = {"depth": 1, "layer0.width": 2, "pre.width": 2, "pre.layers": 3, "layer0.heads": 3}
        for stage in range(4):
            decks = Decks(self.SPACE, np.random.default_rng(0))
            allowed = opened({"depth": 1, "width": 2}, 3, stage)
            dealt = [decks.deal(allowed) for _ in range(40)]
            for name, at in opens.items():
                decision = self.SPACE.by_name[name]
                seen = {a.choices[name] for a in dealt if name in a.choices}
                wanted = decision.choices if stage >= at else largest(decision)
                assert seen == set(wanted), (name, stage)
            assert {a.choices["layer0.operator"] for a in dealt} == {"gcn", "gat"}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_labels_of_the_training_split_alone_are_learned(split: str, store: str) -> None:
    """Others may be anything: the weights are the same."""
    wrong = torch.where(getattr(NODES, split), (NODES.y + 1) % 3, NODES.y)
    one, other = (
        list(each_epoch(job(store, data), 2))[-1] for data in (NODES, replace(NODES, y=wrong))
    )
    assert equal(under("weights", one), under("weights", other)) == (split != "train")


def test_masked_epochs_read_no_label(store: str) -> None:
    """The weights are the same with others, until labels are looked at; features count."""
    relabeled = replace(NODES, y=(NODES.y + 1) % 3)
    moved = replace(NODES, x=NODES.x.flip(0))
    one, two, three = (
        [under("weights", left) for left in each_epoch(job(store, data, masked_epochs=2), 3)]
        for data in (NODES, relabeled, moved)
    )
    assert equal(one[1], two[1])
    assert not equal(one[2], two[2])
    assert not equal(one[0], three[0])


def test_of_masked_epochs_the_first_half_trains_the_largest_alone(store: str) -> None:
    """And the output's own weights begin anew with the labels."""
    first, second, labeled = each_epoch(job(store, masked_epochs=2), 3)
    moved = [under("adam/exp_avg", left).keys() for left in (first, second)]
    assert moved[0] < moved[1]
    output = next(n for n in under("weights", labeled) if n.startswith("output"))
    shapes = [under("weights", left)[output].shape for left in (second, labeled)]
    assert shapes[0] != shapes[1]


def test_graphs_have_no_masked_epochs() -> None:
    """It is refused before anything is trained; without them it is not."""
    with pytest.raises(PluginError, match="masked_epochs: expected 0 for a graph task"):
        supernet.prepare(space(GRAPHS), Batches(GRAPHS), 0, masked_epochs=1)
    assert supernet.prepare(space(GRAPHS), Batches(GRAPHS), 0)


def test_what_distills_nothing_has_no_distill(store: str) -> None:
    """An option that would do nothing is refused; where it does something, weights are others."""
    with pytest.raises(PluginError, match=r"distill: the rule fair distills nothing, got 0\.5"):
        supernet.prepare(space(NODES), Batches(NODES), 0, distill=0.5)
    given_ = ({"rule": "sandwich", "distill": share} for share in (0.5, None, 0.0))
    half, default, none = (list(each_epoch(job(store, **each)))[-1] for each in given_)
    assert all(torch.equal(half[name], default[name]) for name in half)
    assert not all(torch.equal(half[name], none[name]) for name in half)


def test_slices_are_sampled_before_the_first_step_and_after_the_last(store: str) -> None:
    """The same, as many as were asked for, with the validation value of each."""
    *before, last = each_epoch(job(store))
    assert all("samples/begun" in left and "samples/trained" not in left for left in before)
    samples = under("samples", last)
    for when in ("begun", "trained"):
        assert samples[when].shape == (4,)
        assert ((samples[when] >= 0) & (samples[when] <= 1)).all()
    assert torch.equal(samples["begun"], before[0]["samples/begun"])
    decoded = [space(NODES).decode(row) for row in samples["architectures"].tolist()]
    assert len(set(decoded)) > 1
    none = under("samples", list(each_epoch(job(store, samples=0)))[-1])
    assert all(tensor.size(0) == 0 for tensor in none.values())


@pytest.mark.parametrize("rule", ["fair", "sandwich"])
def test_a_training_that_diverges_is_a_failure(rule: str, store: str) -> None:
    """And no fault of a program, in its last epoch, where slices are sampled, either."""
    failed = prepare(job(store, rule=rule, lr=1e30, epochs=1)).failure
    assert failed is not None
    assert failed.kind == "divergence"
