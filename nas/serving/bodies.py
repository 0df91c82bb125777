"""The two forms of a request's body: JSON, and a safetensors file of the program's own inputs.

Either holds one graph or several: JSON a list of objects, a file tensors called `0.x`,
`0.edge_index`, `1.x`, ... Nothing is unpickled, and no size is believed before it is seen.
"""

import json
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from safetensors.torch import load
from torch import Tensor

from nas.export._base import Contract
from nas.serving.graphs import Given
from nas.serving.limits import MOST_GRAPHS, MOST_LISTED, RequestError

JSON: Final = "application/json"
BINARY: Final = "application/vnd.safetensors"
OCTETS: Final = "application/octet-stream"

# The first wrong entry ends the reading: a body of millions of them would have as many errors.
Row: TypeAlias = Annotated[list[float], FailFast()]
Ends: TypeAlias = Annotated[list[int], FailFast()]
_NUMBERED = re.compile(r"(0|[1-9][0-9]{0,3})\.([a-z_]+)")


class NodeGraph(BaseModel):
    """A graph of a node task, in JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    x: Annotated[list[Row], FailFast()]
    edge_index: Annotated[list[Ends], FailFast()] = []


class Graphs(NodeGraph):
    """A graph, or several side by side, of a graph task, in JSON."""

    graph_ids: Ends
    graphs: Annotated[int, Field(ge=1, le=MOST_GRAPHS)] | None = None


def of_json(contract: Contract, body: bytes) -> tuple[Sequence[Given], bool]:
    """The graphs of a body, and whether they came as a list.

    Raises:
        RequestError: it is no JSON, or of another form.
    """
    model: Any = Graphs if contract.is_graph_task else NodeGraph
    is_list = body.lstrip()[:1] == b"["
    form: TypeAdapter[Any] = TypeAdapter(Annotated[list[model], FailFast()] if is_list else model)
    try:
        read: Any = form.validate_json(body)
    except ValidationError as error:
        raise _said(error, contract) from error
    values = read if is_list else [read]
    _check_count(len(values))
    return [_given(v, f"[{i}]." if is_list else "") for i, v in enumerate(values)], is_list


def _given(value: NodeGraph, where: str) -> Given:
    ids, graphs = (value.graph_ids, value.graphs) if isinstance(value, Graphs) else (None, None)
    return Given(
        _matrix(f"{where}x", value.x, np.float32),
        None
        if "edge_index" not in value.model_fields_set
        else _matrix(f"{where}edge_index", value.edge_index, np.int64),
        None if ids is None else _tensor(f"{where}graph_ids", ids, np.int64),
        graphs,
    )


def _matrix(name: str, rows: list[list[Any]], dtype: type) -> Tensor:
    widths = [len(row) for row in rows]
    if len(set(widths)) > 1:
        other = next(i for i, width in enumerate(widths) if width != widths[0])
        raise RequestError(
            422,
            f"{name}: expected rows of one length, but row 0 has {widths[0]} numbers and row "
            f"{other} has {widths[other]}",
        )
    return _tensor(name, rows, dtype).reshape(len(rows), widths[0] if widths else 0)


def _tensor(name: str, values: list[Any], dtype: type) -> Tensor:
    try:
        with np.errstate(over="ignore"):  # what float32 has no number for is infinite, and refused
            return torch.from_numpy(np.array(values, dtype=dtype))
    except OverflowError as error:
        raise RequestError(422, f"{name}: expected integers below 2^63") from error


def _said(error: ValidationError, contract: Contract) -> RequestError:
    """The first thing that is wrong, and where."""
    first = error.errors(include_url=False)[0]
    has = "x, edge_index and graph_ids" if contract.is_graph_task else "x and edge_index"
    if first["type"] == "json_invalid":
        said = first["ctx"]["error"]
        return RequestError(400, f"the body is not JSON: {said}; expected an object with {has}")
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p[:40]}" for p in first["loc"])
    message = first["msg"][:1].lower() + first["msg"][1:]
    got = first["input"]
    came = f", got {json.dumps(got)[:40]}" if isinstance(got, str | int | float | bool) else ""
    return RequestError(
        422, f"{where.lstrip('.') or 'the body'}: {message}{came}; a graph has {has}, see /docs"
    )


def of_binary(contract: Contract, body: bytes) -> tuple[Sequence[Given], bool]:
    """The graphs of a safetensors file, and whether their names are numbered.

    Raises:
        RequestError: it is no such file, or has other tensors.
    """
    try:
        tensors = load(body)
    except MemoryError:
        raise
    except Exception as error:  # a fault boundary: the bytes decide what the library trips over
        reason = str(error).partition("\n")[0][:200]
        raise RequestError(
            400,
            f"the body is not a safetensors file ({reason}); safetensors.torch.save makes one",
        ) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # how Rust ends where memory does
            raise MemoryError from error
        raise
    groups: dict[int, dict[str, Tensor]] = {}
    is_list = any(_NUMBERED.fullmatch(name) for name in tensors)
    for name, tensor in tensors.items():
        numbered = _NUMBERED.fullmatch(name)
        if is_list != (numbered is not None):
            raise RequestError(
                422, f"tensor {name[:60]!r}: expected names that are all numbered, 0.x, or none"
            )
        index, plain = (int(numbered[1]), numbered[2]) if numbered else (0, name)
        groups.setdefault(index, {})[plain] = tensor
    _check_count(len(groups))
    if sorted(groups) != list(range(len(groups))):
        raise RequestError(422, "the graphs are numbered with gaps; expected 0.x, 1.x, 2.x, ...")
    names = [spec.name for spec in contract.inputs]
    return [
        _of_tensors(groups[i], names, f"{i}." if is_list else "") for i in range(len(groups))
    ], is_list


def _of_tensors(tensors: dict[str, Tensor], names: list[str], where: str) -> Given:
    unknown = sorted(tensors.keys() - set(names))
    if unknown:
        raise RequestError(
            422, f"tensor {(where + unknown[0])[:60]!r}: expected {', '.join(names)}"
        )
    if "x" not in tensors:
        raise RequestError(422, f"{where}x is missing; expected the tensors {', '.join(names)}")
    counted = tensors.get("graphs")
    if counted is not None and (counted.dim() != 1 or counted.dtype != torch.int64):
        raise RequestError(
            422, f"{where}graphs must be int64 of shape [B], of which only the length counts"
        )
    graphs = None if counted is None else counted.numel()
    if graphs == 0:
        raise RequestError(422, f"{where}graphs is empty; expected one graph or more")
    return Given(tensors["x"], tensors.get("edge_index"), tensors.get("graph_ids"), graphs)


def _check_count(graphs: int) -> None:
    if not 1 <= graphs <= MOST_LISTED:
        raise RequestError(
            422, f"expected 1 to {MOST_LISTED} graphs in a request, got {graphs}; ask in parts"
        )
