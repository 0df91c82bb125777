"""Weights of sparse networks without their zeros: what they become, and how many bytes that is."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evaluators.facts import facts
from nas.contracts.graphs import node_graph
from nas.export._weights import content, stored, tensor_bytes, without_zeros
from search_spaces import Architecture, SearchSpace, gnn, plugins
from search_spaces.errors import SpaceError
from search_spaces.quantization.bits import pack
from search_spaces.quantization.storage import Stored
from search_spaces.sparsity.network import Sparse
from search_spaces.sparsity.storage import (
    Left,
    compressed,
    decompressed,
    is_smaller,
    leaving_bytes,
    masks,
)

GRAPH = node_graph()
LIMITS = {8: (-127, 127), 16: (-32767, 32767), 4: (-8, 7), 2: (-2, 1)}


def space_of(bits: int | str = 32, **options: Any) -> SearchSpace:
    made = gnn.build(
        GRAPH.task, depth=[2], width=[24], operators=["gcn"], output=["gcn"], pre_layers=[1]
    )
    if bits != 32:
        quantization = plugins.load("extension", "quantization").build
        made = made.extended(
            quantization(made, GRAPH.task, weight_bits=(bits,), activation_bits=(8,))
        )
    sparsity = plugins.load("extension", "sparsity").build
    return made.extended(sparsity(made, GRAPH.task, **options))


def first(space: SearchSpace) -> Architecture:
    return space.fill(lambda decision: decision.choices[0])


def pruned(space: SearchSpace) -> nn.Module:
    torch.manual_seed(0)
    network = space.network(first(space), GRAPH.task)
    assert isinstance(network, Sparse)
    for group in network.groups():
        group.keep_top(group.at_random(), group.density)
    return network.eval()


def written(space: SearchSpace, network: nn.Module) -> int:
    leaving = space.deployed(network, first(space))
    tensors, how = stored(network, leaving, {})
    tensors, left = without_zeros(network, tensors, how)
    return tensor_bytes(content(tensors, how, left))


def test_the_rule_is_where_a_mask_pays() -> None:
    """n + k b bits against n b: below 31/32 of 32 bits, below a half of two, never of one."""
    assert is_smaller(30.9 / 32, 32)
    assert not is_smaller(31.1 / 32, 32)
    assert is_smaller(0.49, 2)
    assert not is_smaller(0.51, 2)
    assert not is_smaller(0.01, 1)


@pytest.mark.parametrize("bits", [32, *LIMITS])
def test_a_weight_comes_back_as_it_was(bits: int) -> None:
    """Of float32, integers with a type, and integers side by side; also where nothing is left."""
    torch.manual_seed(0)
    for share in (0.0, 0.3, 1.0):
        mask = torch.rand(5, 7) < share
        how, weight = _made(bits, mask)
        pair = compressed(weight, mask, how)
        assert pair is not None
        assert pair[1].nbytes == 5  # 35 bits
        back = decompressed(*pair, Left((5, 7)), how)
        assert torch.equal(back, weight)
        assert back.dtype == weight.dtype


def _made(bits: int, mask: Tensor) -> tuple[Stored | None, Tensor]:
    if bits == 32:
        return None, torch.randn(mask.shape) * mask
    low, high = LIMITS[bits]
    how = Stored(str(bits), bits, tuple(mask.shape), low, high)
    integers = torch.randint(low, high + 1, mask.shape) * mask
    if bits in (8, 16):
        return how, integers.to(torch.int8 if bits == 8 else torch.int16)
    return how, pack(integers - low, bits)


def test_a_mask_that_is_not_of_its_weight_changes_nothing() -> None:
    """What is computed with is stored: an entry outside of the mask that is not 0 stays."""
    mask = torch.tensor([True, False, True])
    assert compressed(torch.tensor([1.0, 2.0, 3.0]), mask, None) is None
    assert compressed(torch.tensor([1.0, 0.0, 3.0]), mask, None) is not None, "control"


def test_what_does_not_fit_its_mask_is_refused() -> None:
    """More or fewer entries than the mask says, or a mask of another size."""
    mask = pack(torch.tensor([1, 0, 1]), 1)
    assert decompressed(torch.ones(2), mask, Left((3,)), None).tolist() == [1, 0, 1]
    for left, bits, shape in [
        (torch.ones(3), mask, (3,)),
        (torch.ones(1, 2), mask, (3,)),
        (torch.ones(2), mask, (9,)),
    ]:
        with pytest.raises(SpaceError, match="expected"):
            decompressed(left, bits, Left(shape), None)


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("bits", [32, 8, 4, "ternary"])
@pytest.mark.parametrize("density", [0.99, 0.9, 0.45, 0.2, 0.03])
def test_model_bytes_is_known_before_training(density: float, bits: int | str, scope: str) -> None:
    """The bytes of the file without its header; each tensor's last byte may be rounded."""
    space = space_of(bits, weight_density=(density,), scope=(scope,), method=("magnitude",))
    network = pruned(space)
    known = facts(space, first(space), GRAPH.task)["model_bytes"]
    found = written(space, network)
    count = len(masks(network))
    assert count == 4
    assert abs(found - known) <= (0 if bits == 32 else count)
    assert leaving_bytes(network) == known
    whole = facts(space_of(bits, weight_density=(0.5, 1.0)), _dense(bits), GRAPH.task)
    each = {32: 32, 8: 8, 4: 4, "ternary": 2}[bits]
    assert (known < whole["model_bytes"]) == is_smaller(density, each)


def _dense(bits: int | str) -> Architecture:
    """The control: nothing is pruned, and all of it is stored."""
    space = space_of(bits, weight_density=(0.5, 1.0))
    dense = space.fill(lambda d: d.choices[-1] if d.name.endswith("density") else d.choices[0])
    network = space.network(dense, GRAPH.task).eval()
    assert not masks(network)
    leaving = space.deployed(network, dense)
    tensors, how = stored(network, leaving, {})
    found = tensor_bytes(content(tensors, how))
    assert facts(space, dense, GRAPH.task)["model_bytes"] == found
    return dense


def test_what_remembers_does_not_leave() -> None:
    """Masks and edges take bytes in training, and none in what is counted or stored."""
    space = space_of(weight_density=(1.0,), edge_density=(0.5,), method=("random",))
    network = pruned(space)
    state = network.state_dict()
    assert any(name.startswith("sparsity.edges") for name in state)
    own = {name: t for name, t in state.items() if not name.startswith("sparsity.")}
    expected = sum(tensor.nbytes for tensor in own.values())
    assert leaving_bytes(network) == written(space, network) == expected
    assert facts(space, first(space), GRAPH.task)["model_bytes"] == expected
