"""What `/openapi.json` says: the endpoints for the contract of this very bundle."""

from collections.abc import Mapping
from typing import Any

import nas
from nas.export._base import Contract
from nas.serving.bodies import BINARY, JSON, OCTETS
from nas.serving.limits import MOST_GRAPHS, MOST_LISTED, Limits

_Json = dict[str, Any]
_ERROR = {"$ref": "#/components/schemas/Error"}
_FAULTS: Mapping[str, str] = {
    "400": "The body is not what its Content-Type says, or the request is not HTTP.",
    "408": "The body did not come in time.",
    "413": "The body or a graph is too large; the message has the limit.",
    "415": "Another Content-Type, or a compressed body.",
    "421": "Asked by a name that is not this server's.",
    "422": "The graph breaks the contract; the message says how.",
    "500": "The program fails on a graph that its contract allows.",
    "503": "Too many large requests at once, not enough memory, or the program is away; try again.",
    "504": "The program took too long for this graph, and was ended.",
}
_EDGES: Mapping[str, str] = {
    "directed": "",
    "undirected": " Give each edge once or in both directions.",
    "both_directions": " Give each edge once in each direction.",
}
_BINARY_TEXT = (
    "A safetensors file, in requests with the inputs of the program: {inputs}. Answers have its "
    "output, `logits` float32 [{unit}, {classes}]; softmax over the columns gives probabilities. "
    "For several graphs in one request names are numbered: `0.x`, `0.edge_index`, `1.x`, ..., and "
    "`0.logits`, ... in the answer."
)


def description(contract: Contract, limits: Limits, *, own_graph: bool) -> _Json:
    """The description of the service, OpenAPI 3.1.

    Args:
        own_graph: whether the bundle has a graph, so that a request need not give its edges.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gnn-nas bundle",
            "version": nas.__version__,
            "description": (
                f"Predicts the class of each {'graph' if contract.is_graph_task else 'node'}: "
                f"{contract.n_features} features, {contract.n_classes} classes. Bodies have at "
                f"most {limits.request_bytes} bytes, those of JSON {limits.json_bytes}."
            ),
        },
        "paths": {
            "/predict": {"post": _predict(contract)},
            "/health": {"get": _health()},
            "/manifest": {"get": _get("The bundle's manifest.json", "manifest", _MANIFEST)},
            "/openapi.json": {"get": _get("This description", "openapi", {"type": "object"})},
            "/docs": {"get": _page()},
        },
        "components": {"schemas": _schemas(contract, own_graph=own_graph)},
    }


def _predict(contract: Contract) -> _Json:
    inputs = ", ".join(f"`{s.name}` {s.dtype} {list(s.shape)}" for s in contract.inputs)
    text = _BINARY_TEXT.format(
        inputs=inputs.replace("'", ""),
        unit="B" if contract.is_graph_task else "N",
        classes=contract.n_classes,
    )
    binary = {"schema": {"type": "string", "format": "binary", "description": text}}
    several = {"type": "array", "minItems": 1, "maxItems": MOST_LISTED}
    asked = {"$ref": "#/components/schemas/Graph"}
    told = {"$ref": "#/components/schemas/Predictions"}
    return {
        "operationId": "predict",
        "summary": "Predict",
        "description": (
            "The answer has the form of the body, unless Accept names the other one; what else "
            "Accept says is of no effect." + _EDGES[contract.edges]
        ),
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {"oneOf": [asked, {**several, "items": asked}]},
                    "example": _example(contract),
                },
                BINARY: binary,
                OCTETS: binary,
            },
        },
        "responses": {
            "200": {
                "description": "What the network says.",
                "content": {
                    JSON: {"schema": {"oneOf": [told, {"type": "array", "items": told}]}},
                    BINARY: binary,
                },
            },
            **{status: _fault(text) for status, text in _FAULTS.items()},
        },
    }


def _fault(text: str) -> _Json:
    return {"description": text, "content": {JSON: {"schema": _ERROR}}}


def _get(summary: str, name: str, schema: _Json) -> _Json:
    found = {"description": summary + ".", "content": {JSON: {"schema": schema}}}
    return {"operationId": name, "summary": summary, "responses": {"200": found}}


def _health() -> _Json:
    said = _get("Whether it answers", "health", _HEALTH)
    away = {**said["responses"]["200"], "description": "Its program is being started again."}
    return {**said, "responses": {**said["responses"], "503": away}}


def _page() -> _Json:
    found = {"description": "A page.", "content": {"text/html": {"schema": {"type": "string"}}}}
    return {"operationId": "docs", "summary": "This page", "responses": {"200": found}}


_HEALTH: _Json = {
    "type": "object",
    "required": ["ready", "manifest_sha256", "uptime_seconds"],
    "additionalProperties": False,
    "properties": {
        "ready": {"type": "boolean"},
        "manifest_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "uptime_seconds": {"type": "number", "minimum": 0},
        "reason": {"type": "string", "description": "why it is not ready"},
    },
}
_MANIFEST: _Json = {
    "type": "object",
    "required": ["format", "version", "contract", "inputs", "outputs", "files"],
}


def _schemas(contract: Contract, *, own_graph: bool) -> _Json:
    number: _Json = {"type": "number"}
    if contract.features == "row":
        number["minimum"] = 0
    row = {
        "type": "array",
        "items": number,
        "minItems": contract.n_features,
        "maxItems": contract.n_features,
    }
    ends = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    properties: _Json = {
        "x": {"type": "array", "items": row, "minItems": 1, "description": "raw features, [N, F]"},
        "edge_index": {
            "type": "array",
            "items": ends,
            "minItems": 2,
            "maxItems": 2,
            "description": "source and target of each edge, as rows of x, [2, E]"
            + ("; left out: the bundle's own graph" if own_graph else ""),
        },
    }
    required = ["x"] if own_graph else ["x", "edge_index"]
    if contract.is_graph_task:
        required.append("graph_ids")
        properties["graph_ids"] = ends | {"description": "the graph of each node, ascending, [N]"}
        properties["graphs"] = {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_GRAPHS,
            "description": "how many graphs; needed where the last ones have no nodes",
        }
    return {
        "Graph": {
            "type": "object",
            "required": required,
            "additionalProperties": False,
            "properties": properties,
        },
        "Predictions": _predictions(contract),
        "Error": {
            "type": "object",
            "required": ["error"],
            "additionalProperties": False,
            "properties": {"error": {"type": "string"}},
        },
    }


def _predictions(contract: Contract) -> _Json:
    names = contract.class_names or tuple(map(str, range(contract.n_classes)))
    classes = {"type": "array", "items": {"enum": list(dict.fromkeys(names))}}
    several = {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1.000001}}
    return {
        "type": "object",
        "required": ["predictions", "classes", "probabilities"],
        "additionalProperties": False,
        "properties": {
            "predictions": classes,
            "classes": classes,
            "probabilities": {"type": "array", "items": several},
        },
    }


def _example(contract: Contract) -> _Json:
    value: _Json = {"x": [[0.0] * contract.n_features] * 2, "edge_index": [[0, 1], [1, 0]]}
    return value | ({"graph_ids": [0, 0]} if contract.is_graph_task else {})
