"""The Open Inference Protocol, version 2, over HTTP: ranking as a model named `rank`.

Letters: B questions, n candidates, K items answered.

| input | datatype | shape | |
|---|---|---|---|
| `user` | INT64 or BYTES | (B,) or (B, 1) | key of who asks |
| `candidates` | INT64 or BYTES | (B, n) | may be left out where the plan ranks the catalogue |

Parameters `k`, `deadline_ms` and `keep_seen` are those of `/v1/rank`. Outputs are `items` (B, K),
`scores` FP32 (B, K), `degraded` BOOL (B,); rows with fewer items end in key -1 (or an empty text)
with the score NaN, or null in JSON.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recfunnel.core.errors import InvalidInput
from recfunnel.serve import wire
from recfunnel.serve.tensors import Tensor, read_tensor, written

MODEL = "rank"
OUTPUTS = ("items", "scores", "degraded")
HEADER = "inference-header-content-length"
"""HTTP header: bytes of JSON before those of tensors."""

_SERVER = "recfunnel"


class RequestedOutput(msgspec.Struct, kw_only=True):
    """An output that a client wants.

    Args:
        name: one of `OUTPUTS`.
        parameters: `binary_data` asks for bytes.
    """

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, kw_only=True):
    """What a client sends.

    Args:
        inputs: tensors.
        outputs: wanted; all when left out.
        parameters: of the request.
        id: answered as it is.
    """

    inputs: list[Tensor]
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] = {}
    id: str | None = None


class InferResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a client is told.

    Args:
        model_name: `rank`.
        model_version: the plan.
        outputs: tensors.
        id: of the request.
    """

    model_name: str
    model_version: str
    outputs: list[Tensor]
    id: str | None = None


_decode = msgspec.json.Decoder(InferRequest).decode


def read_request(body: bytes, header: str | None) -> tuple[InferRequest, list[wire.Question]]:
    """What is asked.

    Args:
        body: JSON, and bytes of tensors behind it.
        header: value of `HEADER`; None where there are no such bytes.

    Returns:
        The request and its B questions.

    Raises:
        InvalidInput: something does not fit.
        DecodeError: the JSON is none, or not of the protocol.
    """
    length = len(body)
    if header is not None:
        if not header.isdigit() or int(header) > len(body):
            raise InvalidInput(f"{HEADER} is {header!r}, the body has {len(body)} bytes")
        length = int(header)
    request = _decode(body[:length])
    rest = memoryview(body)[length:]
    tensors: dict[str, NDArray[Any]] = {}
    for tensor in request.inputs:
        if tensor.name in tensors or tensor.name not in {"user", "candidates"}:
            raise InvalidInput(
                f"input {tensor.name!r} is unknown or given twice; known: user, candidates"
            )
        tensors[tensor.name], rest = read_tensor(tensor, rest)
    if len(rest):
        raise InvalidInput(f"{len(rest)} bytes are left behind the last tensor")
    for output in request.outputs or ():
        if output.name not in OUTPUTS:
            raise InvalidInput(f"no output {output.name!r}; known: {', '.join(OUTPUTS)}")
    return request, _questions(tensors, request.parameters)


def _questions(
    tensors: Mapping[str, NDArray[Any]], parameters: Mapping[str, Any]
) -> list[wire.Question]:
    users, candidates = tensors.get("user"), tensors.get("candidates")
    if users is None and candidates is None:
        raise InvalidInput("inputs has neither 'user' nor 'candidates'")
    told = {
        name: parameters[name] for name in ("k", "deadline_ms", "keep_seen") if name in parameters
    }
    asked = [[None]] if users is None else _keys("user", users.reshape(users.shape[0], -1))
    if any(len(one) != 1 for one in asked):
        raise InvalidInput(f"input 'user' has shape {list(users.shape)}, must be (B,) or (B, 1)")  # type: ignore[union-attr]
    if candidates is None:
        lists: list[list[Any] | None] = [None] * len(asked)
    else:
        if candidates.ndim != 2:
            raise InvalidInput(
                f"input 'candidates' has shape {list(candidates.shape)}, must be (B, n)"
            )
        lists = list(_keys("candidates", candidates))
        if users is None:
            asked = [[None]] * len(lists)
    if not 1 <= len(asked) <= wire.MAX_BULK or len(lists) != len(asked):
        raise InvalidInput(
            f"inputs have {len(asked)} users and {len(lists)} lists of candidates; give as many "
            f"of each, 1 to {wire.MAX_BULK}"
        )
    return [
        msgspec.convert({"user": user, "candidates": own} | told, wire.Question)
        for (user,), own in zip(asked, lists, strict=True)
    ]


def _keys(name: str, array: NDArray[Any]) -> list[list[Any]]:
    if array.dtype.kind not in "iO":
        raise InvalidInput(f"input {name!r} must be INT64 or BYTES")
    found: list[list[Any]] = array.tolist()
    return found


def response(
    request: InferRequest, answers: list[wire.Answer], plan: str
) -> tuple[bytes, str | None]:
    """The body to answer with, and the value of `HEADER` where tensors follow the JSON.

    Args:
        request: as it was read.
        answers: B.
        plan: its content hash.
    """
    arrays = _arrays(answers)
    wanted = request.outputs or [RequestedOutput(name=name) for name in OUTPUTS]
    default = request.parameters.get("binary_data_output") is True
    parts = [
        written(
            one.name, arrays[one.name], binary=one.parameters.get("binary_data", default) is True
        )
        for one in wanted
    ]
    told = InferResponse(
        model_name=MODEL,
        model_version=plan,
        outputs=[tensor for tensor, _ in parts],
        id=request.id,
    )
    head, blobs = wire.encode(told), [blob for _, blob in parts]
    if not any(blobs):
        return head, None
    return b"".join([head, *blobs]), str(len(head))


def _arrays(answers: list[wire.Answer]) -> dict[str, NDArray[Any]]:
    most = max(len(answer.items) for answer in answers)
    scores = np.full((len(answers), most), np.nan, np.float32)
    texts = any(isinstance(key, str) for answer in answers for key in answer.items)
    items: NDArray[Any] = np.full(scores.shape, "" if texts else -1, object if texts else np.int64)
    for row, answer in enumerate(answers):
        items[row, : len(answer.items)] = answer.items
        scores[row, : len(answer.scores)] = answer.scores
    degraded = np.array([answer.degraded for answer in answers])
    return {"items": items, "scores": scores, "degraded": degraded}


def server_metadata() -> dict[str, Any]:
    """Of the server."""
    return {
        "name": _SERVER,
        "version": version("recfunnel"),
        "extensions": ["binary_tensor_data"],
    }


def model_metadata(plan: str, *, texts: tuple[bool, bool]) -> dict[str, Any]:
    """Of the model `rank`.

    Args:
        plan: its content hash, the model's version.
        texts: whether users, and items, are called by text.
    """
    user, item = ("BYTES" if text else "INT64" for text in texts)
    return {
        "name": MODEL,
        "versions": [plan],
        "platform": "recfunnel",
        "inputs": [
            {"name": "user", "datatype": user, "shape": [-1]},
            {"name": "candidates", "datatype": item, "shape": [-1, -1]},
        ],
        "outputs": [
            {"name": "items", "datatype": item, "shape": [-1, -1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, -1]},
            {"name": "degraded", "datatype": "BOOL", "shape": [-1]},
        ],
    }
