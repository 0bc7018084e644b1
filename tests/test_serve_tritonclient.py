"""A client written by others asks the service as it would ask any server of the protocol."""

from collections.abc import Iterator

import numpy as np
import pytest

from serve_world import Client, finished_run, served

tritonclient = pytest.importorskip("tritonclient.http")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with served(
        finished_run(tmp_path_factory.mktemp("triton")), "--workers", "1", "--deadline-ms", "5000"
    ) as found:
        yield found.client


def users_input(users: list[int], *, binary: bool = True) -> object:
    found = tritonclient.InferInput("user", [len(users), 1], "INT64")
    return found.set_data_from_numpy(np.array(users, np.int64)[:, None], binary_data=binary)


def test_health_and_metadata_are_read(client: Client) -> None:
    triton = tritonclient.InferenceServerClient(f"127.0.0.1:{client.port}")

    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("rank")
    assert triton.get_server_metadata()["name"] == "recfunnel"
    assert [one["name"] for one in triton.get_model_metadata("rank")["inputs"]] == [
        "user",
        "candidates",
    ]
    triton.close()


@pytest.mark.parametrize("binary", [True, False])
def test_it_is_answered_as_everybody_is(client: Client, binary: bool) -> None:
    triton = tritonclient.InferenceServerClient(f"127.0.0.1:{client.port}")
    wanted = [
        tritonclient.InferRequestedOutput(name, binary_data=binary)
        for name in ("items", "scores", "degraded")
    ]
    found = triton.infer(
        "rank",
        [users_input([3, 7], binary=binary)],
        outputs=wanted,
        request_id="a",
        parameters={"k": 4},
    )
    triton.close()

    assert found.get_response()["id"] == "a"
    for row, user in enumerate((3, 7)):
        _, told = client.post("/v1/rank", {"user": user, "k": 4})
        assert found.as_numpy("items")[row].tolist() == told["items"]
        np.testing.assert_allclose(found.as_numpy("scores")[row], told["scores"], rtol=1e-6)


def test_its_errors_can_be_read(client: Client) -> None:
    triton = tritonclient.InferenceServerClient(f"127.0.0.1:{client.port}")
    with pytest.raises(tritonclient.InferenceServerException, match="no model 'other'"):
        triton.infer("other", [users_input([3])])
    with pytest.raises(tritonclient.InferenceServerException, match="k"):
        triton.infer("rank", [users_input([3])], parameters={"k": 0})
    with pytest.raises(tritonclient.InferenceServerException, match="encoding"):
        triton.infer("rank", [users_input([3])], request_compression_algorithm="gzip")
    triton.close()
