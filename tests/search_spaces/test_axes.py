"""Which dimensions of tensors grow with the input and which with the output, found by building."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATConv, GINConv

from search_spaces import SpaceError
from search_spaces.axes import axes, flat


class Holding(nn.Module):
    """A module with one tensor."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.tensor = nn.Parameter(torch.empty(shape))


def kinds(build: Callable[[int, int], nn.Module], groups: int = 4) -> dict[str, list[str]]:
    found = axes(build, groups, "it")
    return {name: [axis.kind for axis in tensor.axes] for name, tensor in found.items()}


def test_a_linear_map_writes_its_rows_and_reads_its_columns() -> None:
    assert kinds(nn.Linear) == {"weight": ["writes", "reads"], "bias": ["writes"]}
    assert kinds(lambda i, o: Holding(i, o)) == {"tensor": ["reads", "writes"]}


def test_heads_and_their_width_are_one_axis() -> None:
    """Of as many channels as the output has; with one head there is nothing to divide."""
    found = axes(lambda i, o: GATConv(i, o // 4, heads=4), 4, "it")
    assert [axis.kind for axis in found["att_src"].axes] == ["fixed", "writes"]
    assert found["att_src"].heads == 4
    assert list(flat((1, 4, 10), found["att_src"])) == [1, 40]
    assert found["lin.weight"].heads == 1
    assert axes(lambda i, o: GATConv(i, o, heads=1), 4, "it")["att_src"].heads == 1


def test_what_is_inside_an_operator_is_as_wide_as_its_output() -> None:
    """Both sides of the second map of GIN's perceptron; its one number is neither."""

    def gin(reads: int, writes: int) -> nn.Module:
        perceptron = nn.Sequential(nn.Linear(reads, writes), nn.Linear(writes, writes))
        return GINConv(perceptron, train_eps=True)

    found = kinds(gin)
    assert found["nn.1.weight"] == ["writes", "writes"]
    assert found["eps"] == ["fixed"]


@pytest.mark.parametrize("size", [1, 3, 11, 13, 17, 19, 68, 76, 153])
def test_a_length_that_never_changes_is_fixed(size: int) -> None:
    """Those that the widths tried have, by chance, too."""
    assert kinds(lambda i, o: Holding(size, o, i)) == {"tensor": ["fixed", "writes", "reads"]}


@pytest.mark.parametrize("groups", [1, 4, 24])
@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda i, o: Holding(2 * o, i), "it: tensor has a dimension that is neither"),
        (lambda i, o: Holding(i + o), "it: tensor has a dimension that is neither"),
        (lambda i, o: Holding(max(i, o), 1), "it: tensor has a dimension that is neither"),
        (lambda i, o: Holding(min(i, o), 1), "it: tensor has a dimension that is neither"),
        (lambda i, _: Holding(i, i), "it: tensor reads its input twice"),
        (lambda i, _: Holding(*([1] * i)), "it: tensor has other dimensions"),
        (lambda _, o: nn.ModuleList(Holding(1) for _ in range(o)), "it has other parameters"),
    ],
)
def test_what_has_no_slices_is_refused(
    build: Callable[[int, int], nn.Module], says: str, groups: int
) -> None:
    with pytest.raises(SpaceError, match=says):
        axes(build, groups, "it")
