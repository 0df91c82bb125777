"""Packed bits, and sums of integers in place of sums of numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.quantization.binary import BINARIZATIONS, binary_codes
from search_spaces.quantization.bits import BITS, pack, packed_bytes, unpack
from search_spaces.quantization.codes import Codes
from search_spaces.quantization.integers import binary_product, edge_sum, product

# Of float64 and float32, of the largest sum.
TOLERANCES = {torch.float64: 1e-14, torch.float32: 1e-6}


@given(
    st.sampled_from(BITS).flatmap(
        lambda bits: st.tuples(st.just(bits), st.lists(st.integers(0, 2**bits - 1), max_size=40))
    )
)
def test_bits_come_back_as_they_were(case: tuple[int, list[int]]) -> None:
    bits, integers = case
    packed = pack(torch.tensor(integers, dtype=torch.int32), bits)
    assert packed.dtype == torch.uint8
    assert packed.shape == (-(-len(integers) * bits // 8),)
    assert unpack(packed, bits, len(integers)).tolist() == integers


def test_the_layout_of_the_stream() -> None:
    """5, 2, 7 of three bits each: 101 010 111 from the lowest, so 0b11_010_101 and 0b1."""
    assert pack(torch.tensor([5, 2, 7]), 3).tolist() == [0b11010101, 0b1]


@pytest.mark.parametrize("bits", BITS)
def test_sizes_are_known_from_shapes(bits: int) -> None:
    shape = pack(torch.empty(7, 5, device="meta", dtype=torch.int32), bits).shape
    assert shape == pack(torch.zeros(7, 5), bits).shape == (packed_bytes(35, bits),)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"in \[0, 7\] for 3 bits, got \[0, 8\]"):
        pack(torch.tensor([0, 8]), 3)
    with pytest.raises(SpaceError, match="expected one of"):
        pack(torch.tensor([0]), 5)
    with pytest.raises(SpaceError, match="expected 2 bytes"):
        unpack(torch.zeros(1, dtype=torch.uint8), 3, 5)


def codes(
    shape: tuple[int, int],
    low: int,
    high: int,
    *,
    rows: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Codes:
    """Random, with scales and zero points of the whole tensor or of each row."""
    generator = torch.Generator().manual_seed(seed)
    column = (shape[0], 1) if rows else ()
    return Codes(
        torch.randint(low, high + 1, shape, generator=generator, dtype=torch.int32),
        torch.rand(column, generator=generator, dtype=dtype) + 0.01,
        torch.randint(low, high + 1, column, generator=generator, dtype=torch.int32),
        low,
        high,
    )


def assert_near(got: Tensor, expected: Tensor) -> None:
    assert got.dtype == expected.dtype
    largest = float(expected.abs().max())
    assert float((got - expected).abs().max()) <= TOLERANCES[expected.dtype] * largest


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0, 255), (-7, 7), (-1, 1), (-2048, 2047)])
def test_a_product_of_codes(low: int, high: int, rows: bool, dtype: torch.dtype) -> None:
    x = codes((9, 33), low, high, rows=rows, seed=1, dtype=dtype)
    weight = codes((5, 33), -8, 7, rows=rows, seed=2, dtype=dtype)
    got, expected = product(x, weight), x.dequantized() @ weight.dequantized().T
    assert got.values.dtype == torch.int32
    assert_near(got.dequantized(), expected)
    # Control: one step of one weight is far beyond what is allowed.
    weight.values[0, 0] += 1
    with pytest.raises(AssertionError):
        assert_near(product(x, weight).dequantized(), expected)


def test_powers_of_two_leave_no_difference() -> None:
    x, weight = codes((9, 33), 0, 255, dtype=torch.float32), codes((5, 33), -8, 7)
    x.scale.fill_(2**-5)
    scale = torch.tensor(2**-3)
    weight = Codes(weight.values, scale, weight.zero_point, -8, 7)
    expected = x.dequantized() @ weight.dequantized().T
    assert torch.equal(product(x, weight).dequantized(), expected)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_a_sum_over_edges(dtype: torch.dtype) -> None:
    messages = codes((50, 6), 0, 15, dtype=dtype)
    targets = torch.randint(0, 7, (50,), generator=torch.Generator().manual_seed(3))
    got = edge_sum(messages, targets, 9)
    zeros = torch.zeros(9, 6, dtype=dtype)
    assert_near(got.dequantized(), zeros.index_add(0, targets, messages.dequantized()))
    assert not got.values[7:].any()


@pytest.mark.parametrize("fan_in", [1, 8, 37])
@pytest.mark.parametrize("how", BINARIZATIONS)
def test_xnor_and_popcount_are_the_product(how: str, fan_in: int) -> None:
    generator = torch.Generator().manual_seed(fan_in)
    x = binary_codes(torch.randn(11, fan_in, generator=generator), how, rows=False)
    weight = binary_codes(torch.randn(4, fan_in, generator=generator), how)
    got = binary_product(x, weight)
    assert torch.equal(got.values.float(), x.values.float() @ weight.values.float().T)
    assert torch.equal(got.dequantized(), product(x, weight).dequantized())


def test_what_integers_cannot_do_is_refused() -> None:
    with pytest.raises(SpaceError, match="beyond int32"):
        product(codes((1, 4096), -32768, 32767), codes((1, 4096), -128, 127))
    with pytest.raises(SpaceError, match="different scales"):
        edge_sum(codes((4, 2), 0, 15, rows=True), torch.zeros(4, dtype=torch.int64), 1)
    with pytest.raises(SpaceError, match="-1 or \\+1"):
        binary_product(codes((2, 8), 0, 15), codes((2, 8), 0, 15))
    of_columns = Codes(
        torch.ones(2, 3).int(), torch.ones(1, 3), torch.zeros((), dtype=torch.int32), -1, 1
    )
    with pytest.raises(SpaceError, match="for each row"):
        product(of_columns, codes((2, 3), -1, 1))
