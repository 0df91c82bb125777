"""How a network is trained: its recipe, its optimizer, and where its random numbers come from."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import nn

from search_spaces import PluginError

OptimizerName: TypeAlias = Literal["adam", "adamw", "sgd"]
MOMENTUM = 0.9


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the fields are options of the evaluator or `train.` decisions.

    Raises:
        PluginError: one of them is out of its range.
    """

    lr: float
    weight_decay: float
    dropout: float
    optimizer: OptimizerName
    patience: int | None
    batch_size: int

    def __post_init__(self) -> None:
        expected = {
            "lr": ("0 or more", self.lr >= 0),
            "weight_decay": ("0 or more", self.weight_decay >= 0),
            "dropout": ("from 0 to below 1", 0 <= self.dropout < 1),
            "optimizer": ("adam, adamw or sgd", self.optimizer in get_args(OptimizerName)),
            "patience": ("1 or more", self.patience is None or self.patience >= 1),
            "batch_size": ("1 or more", self.batch_size >= 1),
        }
        for name, (what, is_met) in expected.items():
            if not is_met:
                raise PluginError(
                    f"evaluator training: expected {name} {what}, got {getattr(self, name)!r}; "
                    f'correct the option, or the choices of the decision "train.{name}"'
                )


def seed_torch(seed: int, run: int, epoch: int) -> None:
    """Seed the generator of the CPU for one epoch of one run; 0 is the making of the weights."""
    word = np.random.SeedSequence([seed, run, epoch]).generate_state(1, np.uint64)[0]
    torch.default_generator.manual_seed(int(word) >> 1)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Plain optimizers over all parameters; the learning rate is constant."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    lr, decay = float(recipe.lr), float(recipe.weight_decay)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=MOMENTUM, weight_decay=decay, fused=True)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=lr, weight_decay=decay, fused=True)
