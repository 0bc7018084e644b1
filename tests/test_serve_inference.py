"""The Open Inference Protocol: tensors survive the way, and a wrong one is told so."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from recfunnel.core.errors import InvalidInput
from recfunnel.serve import wire
from recfunnel.serve.inference import read_request, response
from recfunnel.serve.tensors import Tensor, read_tensor, written

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SHAPES = arrays.array_shapes(max_dims=3, max_side=4)


@PATIENT
@given(
    st.one_of(
        arrays.arrays(np.int64, SHAPES),
        arrays.arrays(np.bool_, SHAPES),
        arrays.arrays(np.float32, SHAPES, elements=st.floats(-(2.0**99), 2.0**99, width=32)),
        SHAPES.flatmap(lambda shape: arrays.arrays(object, shape, elements=st.text(max_size=5))),
    ),
    st.booleans(),
)
def test_what_is_written_is_read(array: np.ndarray, binary: bool) -> None:
    tensor, blob = written("x", array, binary=binary)
    sent = msgspec.json.decode(msgspec.json.encode(tensor), type=Tensor)
    found, rest = read_tensor(sent, memoryview(blob + b"next"))

    assert found.tolist() == array.tolist()
    assert bytes(rest) == b"next"


def asked(inputs: list[dict[str, Any]], **more: Any) -> bytes:
    return json.dumps({"inputs": inputs} | more).encode()


USER = {"name": "user", "datatype": "INT64", "shape": [2], "data": [4, 5]}


def test_questions_come_out_in_order() -> None:
    candidates = {
        "name": "candidates",
        "datatype": "INT64",
        "shape": [2, 3],
        "data": [[1, 2, 3], [4, 5, 6]],
    }
    _, questions = read_request(asked([USER, candidates], parameters={"k": 2}), None)

    assert [(q.user, q.candidates, q.k) for q in questions] == [
        (4, [1, 2, 3], 2),
        (5, [4, 5, 6], 2),
    ]


def test_bytes_behind_the_json_are_tensors() -> None:
    users = np.array([7, 8, 9], np.int64)
    head = asked(
        [
            {
                "name": "user",
                "datatype": "INT64",
                "shape": [3, 1],
                "parameters": {"binary_data_size": 24},
            }
        ]
    )
    _, questions = read_request(head + users.tobytes(), str(len(head)))

    assert [question.user for question in questions] == [7, 8, 9]


def test_answers_of_different_lengths_are_filled_up() -> None:
    request, _ = read_request(asked([USER], id="a"), None)
    answers = [
        wire.Answer(items=[3, 1], scores=[0.5, 0.25], path="p", plan="h"),
        wire.Answer(items=[2], scores=[0.75], path="p", plan="h", degraded=True),
    ]
    body, header = response(request, answers, "h")
    told = json.loads(body)

    assert header is None
    assert (told["model_version"], told["id"]) == ("h", "a")
    assert [(o["name"], o["shape"], o["data"]) for o in told["outputs"]] == [
        ("items", [2, 2], [3, 1, 2, -1]),
        ("scores", [2, 2], [0.5, 0.25, 0.75, None]),
        ("degraded", [2], [False, True]),
    ]


@pytest.mark.parametrize(
    ("body", "header", "words"),
    [
        (asked([]), None, "neither"),
        (asked([USER, USER]), None, "twice"),
        (asked([{**USER, "name": "query"}]), None, "query"),
        (asked([{**USER, "shape": [3]}]), None, "3"),
        (asked([{**USER, "shape": [-1]}]), None, "shape"),
        (asked([{**USER, "shape": []}]), None, "shape"),
        (asked([{**USER, "shape": [1 << 40, 1 << 40]}]), None, "elements"),
        (asked([{**USER, "datatype": "INT8"}]), None, "INT8"),
        (asked([{**USER, "datatype": "FP32"}]), None, "INT64 or BYTES"),
        (asked([{**USER, "data": [4, "5"]}]), None, "'5'"),
        (asked([{**USER, "data": [4, 1 << 70]}]), None, "INT64"),
        (asked([{**USER, "data": [[4], 5]}]), None, "[4]"),
        (asked([{**USER, "shape": [2, 2], "data": [1, 2, 3, 4]}]), None, "(B, 1)"),
        (asked([{"name": "user", "datatype": "INT64", "shape": [1]}]), None, "neither data"),
        (asked([USER], outputs=[{"name": "rank"}]), None, "rank"),
        (asked([USER]), "99999", "inference-header"),
        (asked([USER]), "-1", "inference-header"),
        (asked([USER]) + b"more", str(len(asked([USER]))), "left behind"),
        (asked([{**USER, "parameters": {"binary_data_size": 99}}]), None, "99"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(body: bytes, header: str | None, words: str) -> None:
    with pytest.raises(InvalidInput) as found:
        read_request(body, header)
    assert words in str(found.value)


@PATIENT
@given(st.binary(max_size=200), st.none() | st.integers(0, 250).map(str))
def test_no_bytes_make_it_fail_in_another_way(body: bytes, header: str | None) -> None:
    with pytest.raises((InvalidInput, msgspec.DecodeError)):
        read_request(body, header)


@PATIENT
@given(
    st.binary(max_size=64),
    arrays.array_shapes(max_dims=2, max_side=4),
    st.sampled_from(["BYTES", "INT64", "BOOL", "FP32"]),
)
def test_any_bytes_are_a_tensor_or_refused(
    blob: bytes, shape: tuple[int, ...], datatype: str
) -> None:
    tensor = Tensor(
        name="x", datatype=datatype, shape=list(shape), parameters={"binary_data_size": len(blob)}
    )
    try:
        found, rest = read_tensor(tensor, memoryview(blob))
    except InvalidInput:
        return
    assert found.shape == shape
    assert not len(rest)
