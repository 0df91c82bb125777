"""Tensors with a header in JSON, as one safetensors file in an artifact store."""

import json
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from evaluators import artifacts
from evaluators.artifacts import ArtifactError
from evaluators.values import Artifact


def write(
    store: str, kind: str, header: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> Artifact:
    """Store tensors; `kind` is the name under which the header stands in the file."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return artifacts.write(store, save(contiguous, {kind: json.dumps(header)}))


def read(
    artifact: Artifact, kind: str, what: str, file_format: str = ""
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of a file, mapped and not copied.

    Args:
        what: it is to be, for messages: "a checkpoint of training".
        file_format: that its header is to name, where there is one.

    Raises:
        ArtifactError: it is missing, damaged, of another kind or format.
    """
    place, name = artifacts.verified(artifact), f"the artifact {artifact.sha256[:12]}"
    try:
        with safe_open(place, framework="pt") as file:
            header = json.loads((file.metadata() or {})[kind])
            if file_format and header["format"] != file_format:
                raise ArtifactError(
                    f'{name}: expected format "{file_format}", got "{header["format"]}"'
                )
            # Not a mapping: it has keys alone.
            return header, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{name} is not {what}: {error}") from error
