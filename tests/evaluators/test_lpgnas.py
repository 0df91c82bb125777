"""Architecture and bits learned together: in turns, each from its units, at a price."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluators import Batches, artifacts
from evaluators.datasets import save_sealed
from evaluators.facts import facts
from evaluators.preparation import Advance, Preparation, PreparationJob
from evaluators.preparations import lpgnas
from evaluators.preparations._drawing import drawn, entropy
from evaluators.preparations._pricing import Pricing
from evaluators.preparations._sizing import is_of_bits
from evaluators.preparations._unrolled import Tensors, gradients
from evaluators.preparations.lpgnas import Lpgnas
from evaluators.preparing import prepare, weights
from nas.contracts import graphs
from search_spaces import PluginError, SearchSpace, SpaceError, gnn
from search_spaces.extensions import quantization
from search_spaces.plugins import Plugin
from search_spaces.relaxation import one_hot

NODES = graphs.node_graph()
TASK = NODES.task


def space(bits: Mapping[str, Any] | None = None, **options: Any) -> SearchSpace:
    asked: Mapping[str, Any] = {
        "depth": [1, 2],
        "operators": ["gcn", "linear"],
        "width": [8, 16],
        "normalization": ["none"],
        "activation": ["relu"],
        "connectivity": ["plain"],
        "pre_layers": [0],
        "post_layers": [0],
    }
    plain = gnn.build(TASK, **{**asked, **options})
    given = {"weight_bits": [2, 4, 8], "activation_bits": [4, 8], **(bits or {})}
    return plain.extended(quantization.build(plain, TASK, **given))


SPACE = space()


def made(of: SearchSpace = SPACE, **options: Any) -> Lpgnas:
    torch.manual_seed(0)
    given = {"epochs": 3, "steps": 2, "warm_up_epochs": 1, "bits_warm_up_epochs": 2, **options}
    return lpgnas.prepare(of, Batches(NODES.seal()), 0, **given)


def copied(tensors: Tensors) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def changed(one: Tensors, other: Tensors) -> set[str]:
    return {name for name in one if not torch.equal(one[name], other[name])}


def test_decisions_begin_one_after_the_other() -> None:
    """First weights alone, then the architecture, then bits; what has not begun stays, to a bit."""
    preparer, found = made(), []
    for number in (1, 2, 3):
        logits, tensors = copied(preparer.logits), copied(preparer.weights)
        torch.manual_seed(number)
        preparer.epoch(number)
        assert changed(preparer.weights, tensors)
        found.append(changed(preparer.logits, logits))
    bits = {name for name in preparer.logits if is_of_bits(name)}
    assert bits == {"quantization.weight_bits", "quantization.activation_bits"}
    assert found[0] == set()
    assert found[1] == preparer.logits.keys() - bits
    assert found[2] == preparer.logits.keys()


def test_a_step_of_decisions_reaches_all_of_them() -> None:
    """Without a cost too: by what the validation units lose; of no weight of theirs is moved."""
    preparer = made(cost_weight=0.0, entropy_weight=0.0)
    cut = Batches(NODES.seal())
    train, val = (cut.of(units.nonzero()[:, 0]) for units in (NODES.train, NODES.val))
    reached = dict.fromkeys(preparer.logits, 0.0)
    for step in range(12):
        for name, gradient in preparer.gradient(train, val, 3, step).items():
            assert gradient.sum() == pytest.approx(0, abs=1e-5)
            reached[name] += float(gradient.abs().sum())
    assert min(reached.values()) > 0
    tensors = copied(preparer.weights)
    preparer.learn(train, val, 3, 0)
    assert not changed(preparer.weights, tensors)


def test_what_was_not_drawn_stays_as_it_is() -> None:
    """A weight moves where it was in the network of the step; its decay alone moves nothing."""
    preparer = made(steps=1, weight_decay=0.1)
    tensors, train = copied(preparer.weights), Batches(NODES.seal()).of(NODES.train.nonzero()[:, 0])
    preparer.train(train, 1, 0)
    moved = changed(preparer.weights, tensors)
    # Of two operators in the first layer, one.
    operators = {n.split("/")[0].split(".")[1] for n in moved if n.startswith("layer0.")}
    assert len(operators & {"gcn", "linear"}) == 1
    again = made(steps=1, weight_decay=0.1)
    again.of_weights = lambda loss: gradients(loss, again.weights)  # type: ignore[method-assign]
    again.train(train, 1, 0)
    assert changed(again.weights, tensors) > moved


def test_structure_is_learned_by_what_networks_lose() -> None:
    """On average a step goes where the validation loss, over all architectures, is smaller."""
    of = space(
        {"weight_bits": [8], "activation_bits": [8]}, depth=[1], operators=["gcn"], output=["gcn"]
    )
    preparer = made(of, cost_weight=0.0, entropy_weight=0.0)
    cut = Batches(NODES.seal())
    train, val = (cut.of(units.nonzero()[:, 0]) for units in (NODES.train, NODES.val))
    for step in range(30):
        preparer.train(train, 1, step)
    names = [name for name in preparer.logits if name.endswith(".width")]
    assert names == ["layer0.width"]
    found = torch.stack(
        [preparer.gradient(train, val, 3, step)["layer0.width"] for step in range(60)]
    ).mean(0)
    held, losses = {n: t.detach() for n, t in preparer.weights.items()}, []
    for width in (8, 16):
        architecture = of.fill(lambda d, w=width: w if d.name == "layer0.width" else d.choices[0])
        output = preparer.output(
            held, {}, val, (3, 0, 3), 0.0, lambda *_, a=architecture: one_hot(of, a)
        )
        losses.append(float(preparer.misfit(output, val)))
    assert losses[0] != pytest.approx(losses[1], abs=1e-3)
    # Of two even choices the derivative is a quarter of the difference, either way.
    wanted = (losses[0] - losses[1]) / 4
    assert found.tolist() == pytest.approx([wanted, -wanted], rel=0.3)


def test_sparse_features_are_read_as_they_are() -> None:
    """The same losses and steps as of dense ones, dropout too; and fewer numbers are read."""
    mostly_0 = NODES.x * (
        torch.rand(NODES.x.shape, generator=torch.Generator().manual_seed(0)) < 0.2
    )
    cut = Batches(replace(NODES, x=mostly_0).seal())
    torch.manual_seed(0)
    sparse = lpgnas.prepare(SPACE, cut, 0, epochs=2, steps=3)
    torch.manual_seed(0)
    dense = lpgnas.prepare(SPACE, cut, 0, epochs=2, steps=3)
    assert sparse.features(mostly_0, {}).layout == torch.sparse_csr
    assert sparse.features(mostly_0, sparse.logits) is mostly_0  # where formats learn
    dense.features = lambda x, logits: x  # type: ignore[method-assign]  # noqa: ARG005
    for number in (1, 2):
        losses = [preparer.epoch(number)["train_loss"] for preparer in (sparse, dense)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for name, weight in sparse.weights.items():
        torch.testing.assert_close(weight, dense.weights[name], rtol=1e-2, atol=1e-3)


def test_formats_are_not_ignored() -> None:
    """With floating point in the place of all formats another network is computed."""
    whole = {"weight_bits": [2, 32], "activation_bits": [4, 32]}
    preparer = made(space(whole))
    batch = Batches(NODES.seal()).of(NODES.train.nonzero()[:, 0])
    chosen = preparer.relaxed.space.sample(np.random.default_rng(0))
    outputs = []
    for bits in (("2", "4"), ("32", "32")):
        names = dict(zip(("weight_bits", "activation_bits"), bits, strict=True))
        choices = {**chosen.choices, **{f"quantization.{n}": c for n, c in names.items()}}
        mixture = one_hot(preparer.relaxed.space, preparer.relaxed.space.architecture(choices))
        outputs.append(preparer.relaxed.logits(preparer.weights, mixture, batch.inputs).detach())
    assert float((outputs[0] - outputs[1]).abs().max()) > 1e-2


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("heat", [5.0, 0.5])
def test_a_draw_counts_one_and_passes_the_gradient_of_its_probability(
    heat: float, whole: bool
) -> None:
    """Of a Gumbel-softmax: of one choice, or of all; where nothing is learned there is none."""
    row, worth = torch.tensor([1.0, 0.0, -1.0], requires_grad=True), torch.tensor([2.0, -1.0, 0.5])
    for seed in range(20):
        torch.manual_seed(seed)
        noise = -torch.empty(3).exponential_().log()
        torch.manual_seed(seed)
        shares = drawn(row, heat, whole=whole)
        p = ((row.log_softmax(0) + noise) / heat).softmax(0)
        first = int(p.argmax())
        assert {i: float(s.detach()) for i, s in shares.items() if i == first or whole} == {
            i: float(i == first) for i in (range(3) if whole else [first])
        }
        gain = torch.stack([share * worth[i] for i, share in shares.items()]).sum()
        wanted = (p * worth).sum() if whole else p[first].log() * worth[first]
        found = [torch.autograd.grad(one, row, retain_graph=True)[0] for one in (gain, wanted)]
        torch.testing.assert_close(*found)
        torch.manual_seed(seed)
        (alone,) = drawn(row.detach(), heat, whole=whole).items()
        assert (alone[0], float(alone[1]), alone[1].requires_grad) == (first, 1.0, False)


def test_what_is_more_probable_is_drawn_more_often() -> None:
    """By the softmax, at any temperature."""
    torch.manual_seed(0)
    row = torch.tensor([1.0, 0.0, -1.0])
    first = [next(iter(drawn(row, 3.0, whole=False))) for _ in range(3000)]
    assert [first.count(i) / 3000 for i in range(3)] == pytest.approx(
        row.softmax(0).tolist(), abs=0.03
    )


def test_entropy_is_from_decided_to_even() -> None:
    """And of nothing to decide it is 0."""
    assert float(entropy({"a": torch.zeros(3), "b": torch.zeros(5)})) == pytest.approx(1)
    assert float(entropy({"a": torch.tensor([50.0, 0.0])})) == pytest.approx(0, abs=1e-6)
    assert float(entropy({})) == 0


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return artifacts.store_url(tmp_path_factory.mktemp("artifacts"))


def job(store: str, epochs: int, of: SearchSpace = SPACE, **options: Any) -> PreparationJob:
    given = {"epochs": epochs, "steps": 2, **options}
    preparation = Preparation(Plugin("lpgnas", given), epochs, 1.0)
    return PreparationJob(preparation, of, save_sealed(NODES.seal(), store), store, 3, epochs)


def done(work: PreparationJob) -> Advance:
    advance = prepare(work)
    assert advance.failure is None, advance.failure
    return advance


@cache
def priced(of: SearchSpace, cost: str) -> Mapping[str, Any]:
    """Examples of what networks cost."""
    rng = np.random.default_rng(0)
    examples = [of.sample(rng) for _ in range(40)]
    known = [facts(of, architecture, TASK)[cost] for architecture in examples]
    return {"cost": cost, "examples": [list(of.encode(a)) for a in examples], "costs": known}


@pytest.mark.parametrize("cost", ["model_bytes", "bit_operations"])
def test_with_bits_it_goes_on_as_if_nothing_had_happened(cost: str, store: str) -> None:
    """Killed between any two epochs, each of another phase; the tensors too."""
    given = {} if cost == "model_bytes" else priced(SPACE, cost)
    work = job(store, 5, warm_up_epochs=1, bits_warm_up_epochs=3, **given)
    whole = done(work)
    epochs, ended = [], done(replace(work, until_epoch=1))
    for until in (2, 4, 5):
        epochs += ended.epochs
        ended = done(replace(work, resume=ended.artifact, until_epoch=until))
    assert [*epochs, *ended.epochs] == list(whole.epochs)
    assert whole.artifact is not None
    assert ended.artifact is not None
    one, other = weights(whole.artifact), weights(ended.artifact)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.epochs[0].metrics != whole.epochs[-1].metrics


@pytest.mark.parametrize("cost", ["model_bytes", "bit_operations"])
def test_what_costs_more_is_left(cost: str, store: str) -> None:
    """The more, the more it counts; where it does not count, it is not."""
    given = {**({} if cost == "model_bytes" else priced(SPACE, cost))}
    given |= {"architecture_lr": 0.2, "warm_up_epochs": 0, "bits_warm_up_epochs": 0}
    costs = [
        done(job(store, 14, cost_weight=weight, **given)).metrics["expected_cost"]
        for weight in (0.0, 10.0)
    ]
    assert costs[1] < 0.6 * costs[0]


def test_bit_operations_have_exact_prices() -> None:
    """Bits of what is multiplied count as they do in the network; shuffled costs have none."""
    known = priced(SPACE, "bit_operations")
    examples = [SPACE.decode(row) for row in known["examples"]]
    assert Pricing.fitted(SPACE, TASK, examples, known["costs"]).error < 1e-3
    shuffled = np.random.default_rng(0).permutation(known["costs"]).tolist()
    assert Pricing.fitted(SPACE, TASK, examples, shuffled).error > 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"warm_up_epochs": 9}, "warm_up_epochs: expected fewer than the 9 epochs"),
        ({"bits_warm_up_epochs": 9}, "bits_warm_up_epochs: expected fewer than the 9 epochs"),
        ({"warm_up_epochs": 4, "bits_warm_up_epochs": 3}, "no fewer than the 4 of warm_up_epochs"),
        ({"cost": "latency_ms"}, 'cost: expected examples of "latency_ms"'),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], said: str) -> None:
    """By name, with what to do."""
    with pytest.raises(PluginError, match=said):
        lpgnas.check(SPACE, TASK, {"epochs": 9, **options})


def test_networks_with_states_of_their_own_are_refused() -> None:
    """By the decision, before a study is stored."""
    with pytest.raises(SpaceError, match=r'quantization.scales: with "learned"'):
        lpgnas.check(space({"scales": ["learned"]}), TASK, {})
