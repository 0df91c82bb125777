"""Number formats: how many bits a number is kept in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from search_spaces.frozen import FrozenMapping

# What a study file calls them.
Bits: TypeAlias = Literal[32, 16, 8, 6, 4, 3, 2, "ternary", "binary"]


@dataclass(frozen=True)
class Format:
    """Numbers of so many bits.

    Attributes:
        name: "32" (floating point, as it is), "16", "8", "6", "4", "3", "2", "ternary", "binary".
        bits: that one of them takes; a ternary number takes two.
    """

    name: str
    bits: int

    @property
    def is_float(self) -> bool:
        """Whether numbers stay as they are."""
        return self.name == "32"

    @property
    def is_uniform(self) -> bool:
        """Whether values are evenly spaced whole multiples of a scale, of more than one size."""
        return self.name.isdecimal() and not self.is_float

    def codes(self, scheme: str) -> tuple[int, int]:
        """The smallest and the largest code of a uniform format.

        Symmetric codes leave out the one that has no counterpart: -2^(b-1).
        """
        if scheme == "affine":
            return 0, 2**self.bits - 1
        largest = 2 ** (self.bits - 1) - 1
        return (-largest - 1 if scheme == "fixed_point" else -largest), largest


FORMATS: Mapping[str, Format] = FrozenMapping(
    {
        **{str(bits): Format(str(bits), bits) for bits in (32, 16, 8, 6, 4, 3, 2)},
        "ternary": Format("ternary", 2),
        "binary": Format("binary", 1),
    }
)
FLOAT = FORMATS["32"]
