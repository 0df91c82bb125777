"""Writes a program for graphs of one size."""

from pathlib import Path

import torch
from torch import Tensor, nn

from nas.export import BundleError, Contract, Runnable, Written
from nas.export._sample import TRACED, made_up


class Rigid:
    file = "rigid.pt2"
    needs = "torch"
    reading = 'import torch\nnetwork = torch.export.load("rigid.pt2").module()'
    tolerance = 1e-5

    def write(
        self, network: nn.Module, contract: Contract, folder: Path, sample: tuple[Tensor, ...]
    ) -> Written:
        program = torch.export.export(network, made_up(contract, TRACED))
        torch.export.save(program, folder / self.file)
        return Written([folder / self.file])

    def open(self, folder: Path) -> Runnable:
        try:
            return torch.export.load(folder / self.file).module()
        except RuntimeError as error:
            raise BundleError("it cannot be read") from error


def build() -> Rigid:
    return Rigid()
