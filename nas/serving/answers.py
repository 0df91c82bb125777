"""The two forms of an answer: JSON with names of classes, and a safetensors file of the logits."""

import json
from collections.abc import Sequence
from typing import Any

from safetensors.numpy import save
from torch import Tensor

from nas.export._base import Contract


def to_json(contract: Contract, logits: Sequence[Tensor], *, is_list: bool) -> bytes:
    """For each graph of a request its predictions; a list where a list was asked for."""
    classes = contract.class_names or tuple(map(str, range(contract.n_classes)))
    each = [_predictions(one, classes) for one in logits]
    value = each if is_list else each[0]
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _predictions(logits: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    predicted = logits.argmax(dim=1).tolist()
    return {
        "predictions": [classes[index] for index in predicted],
        "classes": list(classes),
        "probabilities": logits.softmax(dim=1).tolist(),
    }


def to_binary(logits: Sequence[Tensor], *, is_list: bool) -> bytes:
    """`logits`, what the program gives; `0.logits`, ... where a list was asked for."""
    names = [f"{index}.logits" if is_list else "logits" for index in range(len(logits))]
    return save({name: one.numpy() for name, one in zip(names, logits, strict=True)})
