"""The three arms of a comparison, and what follows from them; there is none with two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Literal, TypeAlias

from nas.compare import paired_interval
from nas.intervals import largest_difference
from search_spaces import UsageError
from search_spaces.frozen import FrozenMapping

ArmName: TypeAlias = Literal["dense", "searched", "random"]
ARMS: tuple[ArmName, ...] = ("dense", "searched", "random")
NOT_BETTER = "not better than random at this density"


class UnequalArmsError(Exception):
    """Arms that cannot be compared: other seeds, or other counts left than their counterpart."""


@dataclass(frozen=True)
class Trained:
    """One training.

    Attributes:
        seed: of it.
        value: of the metric, on validation, at the best epoch that counts.
        nonzero_weights: entries of all weight matrices that are left.
        edges: directed ones that its operators see, self-loops of the graph included.
        left: what is left of each tensor, of edges (both directions as one), of each source of
            units, or of layers; nothing of the dense parent.
    """

    seed: int
    value: float
    nonzero_weights: int
    edges: int
    left: Mapping[str, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "left", FrozenMapping(self.left))

    def to_json(self) -> dict[str, Any]:
        """What `Trained(**...)` takes."""
        return {**vars(self), "left": dict(self.left)}


@dataclass(frozen=True)
class Arm:
    """One kind of network, trained with several seeds, in their order."""

    trained: tuple[Trained, ...]

    @property
    def seeds(self) -> list[int]:
        return [one.seed for one in self.trained]

    @property
    def values(self) -> list[float]:
        return [one.value for one in self.trained]

    def to_json(self) -> dict[str, Any]:
        """Mean, standard deviation and number of its trainings, and how large its networks are."""
        return {
            "mean": fmean(self.values),
            "sd": stdev(self.values),
            "n": len(self.trained),
            "nonzero_weights": _mean([one.nonzero_weights for one in self.trained]),
            "edges": _mean([one.edges for one in self.trained]),
            "values": self.values,
        }


@dataclass(frozen=True)
class Difference:
    """Of two arms, paired by seed.

    Attributes:
        mean: of the first less the second.
        interval: of that mean, 95 %, by Student's t, as far as a difference can be; None where all
            differences are equal and not 0, so that there is no spread to judge by.
        p: two-sided, of the mean 0.
    """

    mean: float
    interval: tuple[float, float] | None
    p: float | None

    @classmethod
    def of(cls, metric: str, one: Arm, other: Arm) -> "Difference":
        """One arm less the other."""
        apart = [a - b for a, b in zip(one.values, other.values, strict=True)]
        largest = largest_difference(metric, [*one.values, *other.values])
        return cls(fmean(apart), *paired_interval(apart, largest))

    def to_json(self) -> dict[str, Any]:
        interval = None if self.interval is None else list(self.interval)
        return {"mean": self.mean, "interval": interval, "p": self.p}


@dataclass(frozen=True)
class SparseComparison:
    """A searched sparse network beside its dense parent and a random one of the same counts.

    All on validation, with fresh seeds; test stays sealed.

    Attributes:
        study, trial: whose network it is.
        metric: by which the best epoch is told, and all are compared.
        is_minimized: whether less of it is better.
        epochs: of each training.
        dense, searched, random: the arms, with the same seeds.

    Raises:
        TypeError: an arm is missing, or none.
        UsageError: there are fewer than 2 seeds.
        UnequalArmsError: seeds differ, or what is left of a tensor does between the searched and
            the random network of a seed.
    """

    study: str
    trial: int
    metric: str
    is_minimized: bool
    epochs: int
    dense: Arm
    searched: Arm
    random: Arm

    def __post_init__(self) -> None:
        for name in ARMS:
            if not isinstance(getattr(self, name), Arm):
                found = type(getattr(self, name)).__name__
                raise TypeError(f"{name}: expected an Arm, got {found}; a comparison has all three")
        if len(self.searched.trained) < 2:
            raise UsageError(
                f"seeds: expected at least 2, so that there is a spread, got {self.searched.seeds}"
            )
        if not self.dense.seeds == self.searched.seeds == self.random.seeds:
            raise UnequalArmsError(
                f"expected all arms with the seeds {self.searched.seeds}, got "
                f"{self.dense.seeds} of dense and {self.random.seeds} of random"
            )
        for searched, random in zip(self.searched.trained, self.random.trained, strict=True):
            refuse_unequal(searched, random)

    @property
    def searched_dense(self) -> Difference:
        """What sparsity costs, or gains."""
        return Difference.of(self.metric, self.searched, self.dense)

    @property
    def searched_random(self) -> Difference:
        """What the search is worth."""
        return Difference.of(self.metric, self.searched, self.random)

    @property
    def is_better_than_random(self) -> bool:
        """Whether the whole interval of searched - random is on the better side of 0."""
        interval = self.searched_random.interval
        if interval is None:
            return False
        return interval[1] < 0 if self.is_minimized else interval[0] > 0

    @property
    def verdict(self) -> str:
        """In one sentence."""
        difference = self.searched_random
        if self.is_better_than_random:
            return "better than random at this density"
        if difference.interval is None:
            return f"{NOT_BETTER}: all differences are equal, so there is no spread to judge by"
        return NOT_BETTER

    def to_json(self) -> dict[str, Any]:
        """The object of `nas sparse compare --format json`."""
        return {
            "study": self.study,
            "trial": self.trial,
            "metric": self.metric,
            "split": "validation",
            "epochs": self.epochs,
            "seeds": self.searched.seeds,
            "arms": {name: getattr(self, name).to_json() for name in ARMS},
            "differences": {
                "searched_dense": self.searched_dense.to_json(),
                "searched_random": self.searched_random.to_json(),
            },
            "is_better_than_random": self.is_better_than_random,
            "verdict": self.verdict,
        }


def refuse_unequal(searched: Trained, random: Trained) -> None:
    """The contract of the third arm.

    Raises:
        UnequalArmsError: not exactly as much is left of each tensor.
    """
    if searched.left != random.left:
        names = sorted({*searched.left, *random.left})
        apart = [
            f"{name} {searched.left.get(name)} and {random.left.get(name)}"
            for name in names
            if searched.left.get(name) != random.left.get(name)
        ]
        raise UnequalArmsError(
            f"seed {searched.seed}: expected as much left of each tensor of the random network as "
            f"of the searched one, got {', '.join(apart)}"
        )


def _mean(counts: Sequence[int]) -> float:
    """An integer where all are equal."""
    return counts[0] if len({*counts}) == 1 else fmean(counts)
