"""What iterative methods promise of weights that are left, and of those that are not."""

import pytest
import torch
from fakes import sparse
from torch import Tensor, nn

from search_spaces.sparsity.groups import entries_left, erdos_renyi
from search_spaces.sparsity.methods import granet
from search_spaces.sparsity.network import Sparse

ROUNDS, EPOCHS = 4, 3
DENSITY = 0.8**ROUNDS


def lottery(**given: object) -> Sparse:
    options = {"weight_density": DENSITY, "over_epochs": EPOCHS, "rounds": ROUNDS} | given
    return sparse.network(method="lottery", **options)


def state(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and statistics, without what remembers."""
    return {
        name: tensor.clone()
        for name, tensor in network.state_dict().items()
        if not name.startswith("sparsity.") or name == "sparsity.edges.weights"
    }


def rewound(network: Sparse, initial: dict[str, Tensor]) -> bool:
    """Whether all that is left is as it was in the beginning, bit for bit, and the rest 0."""
    masks = sparse.masks(network)
    if "edges" in masks:
        masks["sparsity.edges.weights"] = masks.pop("edges")
    return all(
        torch.equal(tensor, initial[name] * masks[name] if name in masks else initial[name])
        for name, tensor in state(network).items()
    )


def test_after_each_round_survivors_are_as_they_began() -> None:
    """Weights, edges, biases and statistics; the control is what training makes of them."""
    network = lottery(edge_density=0.95**ROUNDS)
    initial, starts = state(network), []
    for point, epoch in sparse.training(network, (ROUNDS + 1) * EPOCHS):
        is_start = point == "begun" and (epoch - 1) % EPOCHS == 0
        assert rewound(network, initial) == is_start, (point, epoch)
        starts += [epoch] if is_start else []
    assert starts == [1 + EPOCHS * r for r in range(ROUNDS + 1)]


def test_masks_are_nested_and_a_fifth_goes_each_round() -> None:
    network = lottery(edge_density=0.95**ROUNDS)
    sizes = {name: mask.numel() for name, mask in sparse.masks(network).items()}
    total = sum(n for name, n in sizes.items() if name != "edges")
    before = sparse.masks(network)
    for point, epoch in sparse.training(network, ROUNDS * EPOCHS + 1):
        if point == "trained" or (epoch - 1) % EPOCHS:
            continue
        now, done = sparse.masks(network), (epoch - 1) // EPOCHS
        assert all(not (now[name] & ~before[name]).any() for name in now)
        left = sparse.left(network)
        edges = int(next(g for g in network.groups() if "edges" in g.masks).sizes()["edges"])
        assert left.pop("edges") == round(0.95**done * edges)
        assert sum(left.values()) == round(0.8**done * total)
        before = now
    # Control: the same density, chosen anew, is not nested.
    other = sparse.masks(chosen_at_random(seed=7))
    assert any((other[name] & ~before[name]).any() for name in other)


def chosen_at_random(seed: int) -> Sparse:
    network = sparse.network(method="random", weight_density=DENSITY, seed=seed)
    torch.manual_seed(seed)
    network.begin_epoch(1, lambda: sparse.loss_of(network))
    return network


def test_a_subset_at_random_is_that_of_torchs_seed() -> None:
    one, same, other = (sparse.masks(chosen_at_random(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def pruned_values(network: Sparse) -> Tensor:
    """What is not left."""
    pairs = [(g.values[n], g.masks[n]) for g in network.groups() for n in g.values]
    return torch.cat([value.detach()[~mask] for value, mask in pairs])


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("method", ["granet", "lottery", "rigl", "snip"])
def test_what_was_pruned_stays_zero(optimizer: str, method: str) -> None:
    """Under momentum and weight decay; without `hold`, the control, it comes back."""
    given = {} if method == "snip" else {"over_epochs": 4}
    given |= {"rounds": 2} if method == "lottery" else {}
    given |= {"every": 2} if method in ("granet", "rigl") else {}
    found = {}
    for holds in (True, False):
        network = sparse.network(method=method, weight_density=0.4, **given)
        rests: list[Tensor] = []
        moments: list[Tensor] = []

        def seen(steps: torch.optim.Optimizer, kept: list[Tensor] = moments) -> None:
            for group in network.groups():  # noqa: B023 - called within this round
                for name, value in group.values.items():
                    state = steps.state[value]
                    shaped = [t for t in state.values() if getattr(t, "shape", ()) == value.shape]
                    assert shaped
                    kept += [t[~group.masks[name]] for t in shaped]

        for point, _ in sparse.training(network, 12, optimizer=optimizer, holds=holds, seen=seen):  # type: ignore[arg-type]
            if point == "trained":
                rests.append(pruned_values(network))
        found[holds] = (torch.cat(rests), torch.cat(moments))
    assert found[True][0].numel() > 0
    assert not found[True][0].any()
    assert not found[True][1].any()
    assert found[False][0].any()
    assert found[False][1].any()


def test_the_cubic_schedule_within_one_weight_a_layer() -> None:
    """Before and after what was regrown; a straight line, the control, is elsewhere."""
    final, lasts, every = 0.2, 12, 2
    network = sparse.network(method="granet", weight_density=final, over_epochs=lasts, every=every)
    layers = len(sparse.masks(network))
    total = sum(mask.numel() for mask in sparse.masks(network).values())
    traced, straight = [], []
    for point, epoch in sparse.training(network, lasts + 3):
        left, t = sum(sparse.left(network).values()), min(epoch - 1, lasts) // every * every
        cubic = final + (1 - final) * (1 - t / lasts) ** 3
        traced.append(abs(left - cubic * total) <= layers)
        straight.append(abs(left - (1 - (1 - final) * t / lasts) * total) <= layers)
        if point == "trained" and epoch > lasts:
            assert left == round(final * total)
    assert all(traced)
    assert not all(straight)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_rigl_has_the_same_density_from_the_first_step(scope: str) -> None:
    network = sparse.network(method="rigl", weight_density=0.3, scope=scope, over_epochs=6, every=2)
    sizes = [weight.shape for weight in network.weights().values()]
    total = sum(size.numel() for size in sizes)
    counts, seen = [], []
    for point, _ in sparse.training(network, 8):
        if point == "begun":
            counts.append(sparse.left(network))
            seen.append(sparse.masks(network))
    assert all(count == counts[0] for count in counts)
    expected = (
        erdos_renyi(sizes, 0.3) if scope == "global" else [round(0.3 * s.numel()) for s in sizes]
    )
    assert list(counts[0].values()) == expected
    if scope == "global":
        assert sum(expected) == round(0.3 * total)
    # Control: exchanged they were.
    assert any(not torch.equal(seen[0][name], seen[-1][name]) for name in seen[0])


def test_small_matrices_keep_a_larger_share() -> None:
    """By the formula of Erdos and Renyi; all of one that would have more than there is."""
    sizes = [torch.Size(s) for s in ((64, 1000), (64, 64), (3, 64))]
    for density in (0.05, 0.2, 0.9, 1.0):
        counts = erdos_renyi(sizes, density)
        assert sum(counts) == round(density * sum(s.numel() for s in sizes))
        assert all(0 < n <= s.numel() for n, s in zip(counts, sizes, strict=True))
    counts = erdos_renyi(sizes, 0.02)
    share = [n / s.numel() for n, s in zip(counts, sizes, strict=True)]
    raw = [sum(s) / s.numel() for s in sizes]
    assert share[1] / share[0] == pytest.approx(raw[1] / raw[0], rel=0.01)
    # So few that each could not have one: each has one.
    assert erdos_renyi(sizes, 1e-6) == [1, 1, 1]


def dense_gradients(network: Sparse) -> dict[str, Tensor]:
    """Of the loss by every entry, recomputed."""
    values = network.values()
    found = torch.autograd.grad(sparse.loss_of(network), list(values.values()))
    return dict(zip(values, found, strict=True))


def inside_top(grown: Tensor, gradient: Tensor, inactive: Tensor) -> bool:
    """Whether what has grown is among as many of the steepest of what was not left."""
    steepest = gradient.abs().masked_fill(~inactive, -1).flatten().topk(int(grown.sum())).values
    return bool((gradient.abs()[grown] >= steepest[-1]).all())


# granet chooses edges once, see below.
@pytest.mark.parametrize(
    ("method", "edges"),
    [("granet", 1.0), ("rigl", 1.0), ("rigl", 0.6), ("dynamic", 1.0), ("dynamic", 0.6)],
)
def test_as_many_grow_as_are_dropped_where_the_gradient_is_steepest(
    method: str, edges: float
) -> None:
    """They begin at 0, and the loss is that of the network without what was dropped."""
    scope = {} if method == "dynamic" else {"scope": "layer"}
    network = sparse.network(
        method=method, weight_density=0.3, edge_density=edges, over_epochs=8, every=2, **scope
    )
    stops = sparse.training(network, 5)
    assert [next(stops) for _ in range(8)][-1] == ("trained", 4)
    before, at_random = pruned_first(network, method), []
    slopes = dense_gradients(network)
    sparse.begin(network, 5)
    after = sparse.masks(network)
    for name, value in network.values().items():
        dropped, grown = before[name] & ~after[name], after[name] & ~before[name]
        assert grown.any()
        assert grown.sum() == dropped.sum()
        assert not value.detach()[grown].any()
        inactive = ~before[name]
        assert inside_top(grown, slopes[name], inactive)
        torch.manual_seed(0)
        others = inactive.flatten().nonzero().squeeze(1)
        chosen = others[torch.randperm(others.numel())[: int(grown.sum())]]
        drawn = torch.zeros(inactive.numel(), dtype=torch.bool).index_fill(0, chosen, True)
        if grown.sum() < inactive.sum():
            at_random.append(inside_top(drawn.view_as(grown), slopes[name], inactive))
    # Control: of as many drawn by chance.
    assert at_random
    assert not all(at_random)
    loss = sparse.loss_of(network).item()
    with torch.no_grad():
        for name, value in network.values().items():
            value.mul_(before[name] & after[name])
    assert sparse.loss_of(network).item() == loss
    # Control: what was dropped was not for nothing, so the loss is sensitive to it.
    with torch.no_grad():
        for name, value in network.values().items():
            value += 0.1 * (after[name] & ~before[name])
    assert sparse.loss_of(network).item() != loss


def pruned_first(network: Sparse, method: str) -> dict[str, Tensor]:
    """What is left before the exchange: of granet, of which fewer are left first."""
    if method != "granet":
        return sparse.masks(network)
    for group in network.groups():
        density = granet.density(group.density, 4, network.plan)
        group.keep_top(group.magnitudes(), density, nested=True)
    return sparse.masks(network)


def test_how_many_are_left_is_known_before() -> None:
    for scope in ("global", "layer"):
        network = sparse.network(
            method="magnitude", weight_density=0.37, scope=scope, over_epochs=2
        )
        sizes = [mask.numel() for mask in sparse.masks(network).values()]
        for _ in sparse.training(network, 3):
            pass
        left = sum(sparse.left(network).values())
        assert left == entries_left(sizes, 0.37, scope)  # type: ignore[arg-type]
    assert entries_left([10, 10], 0.01, "global") == 1
    assert entries_left([10, 10], 0.01, "layer") == 2


def test_one_entry_is_left_of_one() -> None:
    """However small the density."""
    network = sparse.network({"width": [1]}, method="random", weight_density=0.01)
    (group,) = network.groups()
    scores = {name: torch.ones_like(value) for name, value in group.values.items()}
    group.keep_top(scores, 0.01)
    assert sum(group.left().values()) == 1
    group.keep(scores, dict.fromkeys(scores, 1))
    assert set(group.left().values()) == {1}


def test_of_equal_scores_some_by_chance() -> None:
    """Not the first, which are no sample of a graph; the same ones by the same seed."""
    network = sparse.network({"depth": [1], "width": [64]}, method="random", weight_density=0.5)
    (group,) = network.groups()
    zeros = {name: torch.zeros_like(value) for name, value in group.values.items()}
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        group.keep_top(zeros, 0.5)
        found.append(torch.cat([mask.flatten() for mask in group.masks.values()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    half = found[0].numel() // 2
    assert 0.4 < float(found[0][:half].float().mean()) < 0.6
    # Control: what is higher is left before.
    name = next(iter(zeros))
    zeros[name].view(-1)[7] = 1e-9
    group.keep_top(zeros, 0.01)
    assert group.masks[name].flatten()[7]
