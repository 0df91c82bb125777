"""Message-passing layers, and the ways to connect them.

Every module maps x [N, F_in] and edge_index [2, E] to [N, F_out]. `nn.Dropout` modules are built
with p = 0: how much to drop is a matter of training. No module branches on data, so all of them
export with dynamic sizes. Beside each stands what it is made of (`search_spaces.parts`).
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn

from search_spaces import plugins
from search_spaces.decision import Choice
from search_spaces.frozen import FrozenMapping
from search_spaces.parts import Part, addition, concatenation, maximum

SKIP = "skip"
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}
# Those whose outputs are 0 and above.
NEVER_NEGATIVE = ("relu", "relu6", "sigmoid", "softplus")
NORMALIZATIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "none": lambda _: nn.Identity(),
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


@dataclass(frozen=True)
class LayerPlan:
    """One message-passing layer before its input width is known.

    Attributes:
        operator: a plug-in, with `options` for its `build`.
        width: of the output, over all heads.
        normalization, activation: keys of `NORMALIZATIONS` and `ACTIVATIONS`.
    """

    operator: str
    width: int
    normalization: str = "none"
    activation: str = "none"
    options: Mapping[str, Choice] = field(default_factory=FrozenMapping)


class Layer(nn.Module):
    """Dropout, operator, normalization, activation, in this order.

    Layers with equal `signature`, but for their normalization, compute the same from the same
    weights: another candidate may start from them.
    """

    def __init__(self, in_features: int, plan: LayerPlan) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.0)
        self.operator = operator_module(in_features, plan.operator, plan.width, plan.options)
        self.normalization = NORMALIZATIONS[plan.normalization](plan.width)
        self.activation = ACTIVATIONS[plan.activation]()
        options = dict(sorted(plan.options.items()))
        widths = f"{in_features} -> {plan.width}"
        self.signature = f"{plan.operator} {options} {widths} {plan.activation}"

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = self.operator(self.dropout(x), edge_index)
        activated: Tensor = self.activation(self.normalization(x))
        return activated

    @staticmethod
    def parts(in_features: int, plan: LayerPlan) -> Iterator[Part]:
        operator, options = plan.operator, FrozenMapping(plan.options)
        yield Part(
            operator_module,
            (in_features,),
            (operator, plan.width, options),
            structure="edges",
            # Those that come with the program; a skip has no other width than its layer's.
            even="." not in operator and operator != SKIP,
        )
        yield Part(_around, (plan.width,), (plan.normalization, plan.activation), even=True)


def operator_module(
    in_features: int, name: str, width: int, options: Mapping[str, Choice]
) -> nn.Module:
    """An operator alone, of a width over all heads."""
    if torch.get_default_device().type != "meta":
        return _built(in_features, name, width, options)
    # Layers of PyTorch Geometric are slow to make, and without values one is as good as another.
    return _alike(_prototype(in_features, name, width, FrozenMapping(options)), {})


def _built(in_features: int, name: str, width: int, options: Mapping[str, Choice]) -> nn.Module:
    operator: nn.Module = plugins.load("operator", name).build(in_features, width, **options)
    return operator


@lru_cache(maxsize=4096)
def _prototype(
    in_features: int, name: str, width: int, options: FrozenMapping[Choice]
) -> nn.Module:
    return _built(in_features, name, width, options)


def _alike(module: nn.Module, memo: dict[int, object]) -> nn.Module:
    """A module with tensors of its own, which it shares within itself as the other does."""
    copied = copy.copy(module)
    copied.__dict__ |= {
        "_parameters": copy.deepcopy(module._parameters, memo),
        "_buffers": copy.deepcopy(module._buffers, memo),
        "_modules": {
            name: None if child is None else _alike(child, memo)
            for name, child in module._modules.items()
        },
    }
    return copied


def _around(width: int, normalization: str, activation: str) -> nn.Module:
    """What a layer has beside its operator."""
    return nn.Sequential(
        nn.Dropout(0.0), NORMALIZATIONS[normalization](width), ACTIVATIONS[activation]()
    )


class Plain(nn.Module):
    """Each layer sees the one before. `width` is that of the output."""

    def __init__(self, in_features: int, plans: Sequence[LayerPlan]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(width, plan) for width, plan in _with_inputs(in_features, plans)
        )
        self.width = plans[-1].width if plans else in_features

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, edge_index)
        return x

    @staticmethod
    def parts(in_features: int, plans: Sequence[LayerPlan]) -> Iterator[Part]:
        for width, plan in _with_inputs(in_features, plans):
            yield from Layer.parts(width, plan)


class Residual(Plain):
    """The input of each layer is added to its output, through a linear map where widths differ.

    Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun: Deep Residual Learning for Image Recognition
    (2016).
    """

    def __init__(self, in_features: int, plans: Sequence[LayerPlan]) -> None:
        super().__init__(in_features, plans)
        self.shortcuts = nn.ModuleList(
            _matching(width, plan.width) for width, plan in _with_inputs(in_features, plans)
        )

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for layer, shortcut in zip(self.layers, self.shortcuts, strict=True):
            x = layer(x, edge_index) + shortcut(x)
        return x

    @staticmethod
    def parts(in_features: int, plans: Sequence[LayerPlan]) -> Iterator[Part]:
        for width, plan in _with_inputs(in_features, plans):
            yield from Layer.parts(width, plan)
            yield _match(width, plan.width)
            yield Part(addition, (plan.width, plan.width))


class Dense(nn.Module):
    """Each layer sees the input and the outputs of all layers before, side by side.

    Gao Huang, Zhuang Liu, Laurens van der Maaten, Kilian Q. Weinberger: Densely Connected
    Convolutional Networks (2017). What follows sees the last layer only.
    """

    def __init__(self, in_features: int, plans: Sequence[LayerPlan]) -> None:
        super().__init__()
        seen = [in_features + sum(plan.width for plan in plans[:i]) for i in range(len(plans))]
        self.layers = nn.ModuleList(
            Layer(width, plan) for width, plan in zip(seen, plans, strict=True)
        )
        self.width = plans[-1].width if plans else in_features

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        seen = [x]
        for layer in self.layers:
            seen.append(layer(torch.cat(seen, dim=1), edge_index))
        return seen[-1]

    @staticmethod
    def parts(in_features: int, plans: Sequence[LayerPlan]) -> Iterator[Part]:
        seen: tuple[int, ...] = (in_features,)
        for plan in plans:
            yield Part(concatenation, seen)
            yield from Layer.parts(sum(seen), plan)
            seen += (plan.width,)


class JumpingKnowledge(Plain):
    """What follows sees the outputs of all layers: side by side (cat), or their maximum (max).

    Keyulu Xu, Chengtao Li, Yonglong Tian, Tomohiro Sonobe, Ken-ichi Kawarabayashi, Stefanie
    Jegelka: Representation Learning on Graphs with Jumping Knowledge Networks (2018). For the
    maximum, an output of another width than the last goes through a linear map to it.
    """

    def __init__(self, in_features: int, plans: Sequence[LayerPlan], mode: str) -> None:
        super().__init__(in_features, plans)
        self.mode = mode
        if mode == "max":
            self.maps = nn.ModuleList(_matching(plan.width, self.width) for plan in plans)
        elif plans:
            self.width = sum(plan.width for plan in plans)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        outputs = []
        for layer in self.layers:
            x = layer(x, edge_index)
            outputs.append(x)
        if not outputs:
            return x
        if self.mode == "cat":
            return torch.cat(outputs, dim=1)
        mapped = [linear(output) for linear, output in zip(self.maps, outputs, strict=True)]
        return torch.stack(mapped).amax(dim=0)

    @staticmethod
    def parts(in_features: int, plans: Sequence[LayerPlan], mode: str = "cat") -> Iterator[Part]:
        yield from Plain.parts(in_features, plans)
        widths = tuple(plan.width for plan in plans)
        if widths and mode == "cat":
            yield Part(concatenation, widths)
        elif widths:
            yield from (_match(width, widths[-1]) for width in widths)
            yield Part(maximum, (widths[-1],) * len(widths))


class Matching(nn.Linear):
    """A linear map beside the layers, where widths differ; no candidate starts from another's."""

    signature = ""


def _matching(before: int, after: int) -> nn.Module:
    return nn.Identity() if before == after else Matching(before, after, bias=False)


def _match(before: int, after: int) -> Part:
    return Part(_matching, (before,), (after,))


def _with_inputs(in_features: int, plans: Sequence[LayerPlan]) -> Iterator[tuple[int, LayerPlan]]:
    """Each layer with the width of what it reads where it reads the one before."""
    return zip((in_features, *(plan.width for plan in plans)), plans, strict=False)
