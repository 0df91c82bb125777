"""The program as Python that people can read: one function of torch operations, weights beside it.

`model.py` is what the network computes, line by line, without classes, this program or
torch_geometric: good for reading what was found, for porting it to another language, for a diff of
two networks. The weights lie in `model.safetensors`, which every language can read.
"""

import re
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export.graph_signature import InputKind

from nas.export import BundleError, Contract, ExportFailedError, Runnable, Written, traced

HEAD = '''"""The network, as operations of torch; see README.md for inputs and output."""

import operator as _operator
from math import inf, nan
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import device

WEIGHTS = load_file(Path(__file__).with_name("model.safetensors"))


'''


class Source:
    file = "model.py"
    needs = "torch and safetensors"
    reading = "import torch\nfrom model import network"
    tolerance = 1e-5

    def write(
        self, network: nn.Module, contract: Contract, folder: Path, sample: tuple[Tensor, ...]
    ) -> Written:
        program = traced(network, contract)
        tensors, given, call = {**program.state_dict, **program.constants}, [], []
        for spec in program.graph_signature.input_specs:
            if spec.kind is InputKind.USER_INPUT:
                given.append(spec.arg.name)
                call.append(spec.arg.name)
            else:
                call.append(f"WEIGHTS[{spec.target!r}]")
        code = program.graph.python_code("self", include_stride=False)
        used = {name for name in code.globals if re.search(rf"\b{name}\b", code.src)}
        unknown = used - {"torch", "device", "inf", "nan", "_operator"}
        if unknown:
            raise ExportFailedError(f"no source for a network that uses {', '.join(unknown)}")
        body = re.sub(r";  [\w =]+ = None", "", code.src)  # which only frees memory earlier
        body = body.replace("def forward(self, ", "def _forward(")
        arguments = ", ".join(given)
        tail = f"def network({arguments}):\n    return _forward({', '.join(call)})[0]\n"
        (folder / self.file).write_text(f"{HEAD}{body.strip()}\n\n\n{tail}", "utf-8")
        weights = folder / "model.safetensors"
        save_file({name: t.detach().clone().contiguous() for name, t in tensors.items()}, weights)
        return Written([folder / self.file, weights])

    def open(self, folder: Path) -> Runnable:
        file = folder / self.file
        # Not imported: that would leave a __pycache__ in the bundle.
        module = ModuleType("model")
        module.__file__ = str(file)
        try:
            exec(compile(file.read_text("utf-8"), str(file), "exec"), vars(module))  # noqa: S102
        except (OSError, SyntaxError, ImportError, ValueError) as error:
            raise BundleError(f"{file} cannot be run: {error}") from error
        program: Runnable = torch.no_grad()(module.network)
        return program


def build() -> Source:
    return Source()
