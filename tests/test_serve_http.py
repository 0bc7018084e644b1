"""The service answers over HTTP as the pipeline ranks, and says what is wrong with a question."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from recfunnel.cli.main import run_command
from recfunnel.core.dataset import Dataset, load_dataset
from recfunnel.core.storage import read_json, write_json
from recfunnel.plan.serving import load_plan
from recfunnel.runtime.cascade import Cascade, Question
from recfunnel.serve.deployment import read_deployment
from recfunnel.serve.loading import load
from serve_world import Client, finished_run, served


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def client(run: Path) -> Iterator[Client]:
    with served(run, "--workers", "1", "--deadline-ms", "2000") as found:
        yield found.client


@pytest.fixture(scope="module")
def dataset(run: Path) -> Dataset:
    return load_dataset(run / "data")


@pytest.fixture(scope="module")
def cascades(run: Path) -> dict[str, Cascade]:
    loaded = load(read_deployment(run), lambda _: None)
    return {one.path.pipeline.name: one.step_by_step for one in loaded.paths}


def seen_by(dataset: Dataset, user: int) -> np.ndarray:
    return np.unique(dataset.train.item_rows[dataset.train.context_rows == user])


def test_a_user_gets_what_the_path_ranks_without_what_was_seen(
    client: Client, dataset: Dataset, cascades: dict[str, Cascade]
) -> None:
    for user in (0, 7, 299):
        status, told = client.post("/v1/rank", {"user": user})
        seen = seen_by(dataset, user)
        ranking = cascades[told["path"]].rank(Question(dataset.context.row(user), seen))

        assert status == 200
        assert told["items"] == ranking.columns.tolist()
        np.testing.assert_allclose(told["scores"], ranking.scores, rtol=1e-5)
        assert not set(told["items"]) & set(seen.tolist())


def test_what_was_seen_may_be_kept_and_more_excluded(client: Client, dataset: Dataset) -> None:
    _, everything = client.post("/v1/rank", {"user": 3, "keep_seen": True, "k": 10})
    unwanted = everything["items"][:4]
    _, rest = client.post("/v1/rank", {"user": 3, "keep_seen": True, "exclude": unwanted})

    assert set(everything["items"]) & set(seen_by(dataset, 3).tolist())
    assert not set(rest["items"]) & set(unwanted)


def test_named_candidates_are_ranked_and_nothing_else(client: Client) -> None:
    candidates = [5, 3, 99, 40, 17]
    _, told = client.post(
        "/v1/rank", {"user": 3, "candidates": candidates, "keep_seen": True, "explain": True}
    )
    _, turned = client.post(
        "/v1/rank", {"user": 3, "candidates": candidates[::-1], "keep_seen": True}
    )

    assert sorted(told["items"]) == sorted(candidates)
    assert told["items"] == turned["items"]
    assert told["scores"] == sorted(told["scores"], reverse=True)
    for stage in told["explanation"]["stages"]:
        assert stage["num_in"] == len(candidates)
        assert sorted(stage["ranks"]) == [1, 2, 3, 4, 5]


def test_the_last_stage_of_an_explanation_ranks_as_the_answer(client: Client) -> None:
    _, told = client.post("/v1/rank", {"user": 8, "explain": True, "k": 10})

    last = told["explanation"]["stages"][-1]
    assert last["ranks"] == list(range(1, 11))
    np.testing.assert_allclose(last["scores"], told["scores"], rtol=1e-5)


def test_strangers_are_answered_and_said_to_be_such(client: Client) -> None:
    _, known = client.post("/v1/rank", {"user": 3})
    status, stranger = client.post("/v1/rank", {"user": 10_000})
    _, nobody = client.post("/v1/rank", {})

    assert status == 200
    assert "known_user" not in known  # true is left out
    assert stranger["known_user"] is False
    assert stranger["items"] == nobody["items"]


def test_features_given_replace_those_stored(client: Client, dataset: Dataset) -> None:
    _, own = client.post("/v1/rank", {"user": 3, "keep_seen": True})
    history = dataset.context.multi_valued[0].row(3).tolist()
    weights = dataset.context.multi_valued[0].row_weights(3).tolist()
    names = dataset.schema.select("context", "categorical")
    values = dict(
        zip((f.name for f in names), dataset.context.categorical[3].tolist(), strict=True)
    )
    dense = dict(
        zip(
            (f.name for f in dataset.schema.select("context", "dense")),
            dataset.context.dense[3].astype(float).tolist(),
            strict=True,
        )
    )
    features = (
        values
        | dense
        | {dataset.schema.history: [list(pair) for pair in zip(history, weights, strict=True)]}
    )
    _, given = client.post("/v1/rank", {"features": features, "keep_seen": True})

    assert given["items"] == own["items"]


def test_several_questions_are_answered_in_their_order(client: Client) -> None:
    questions: list[dict[str, Any]] = [
        {"user": 1},
        {"user": 2, "k": 3},
        {"user": 1, "candidates": [10**6]},
    ]
    status, told = client.post("/v1/rank/bulk", {"requests": questions})

    assert status == 200
    assert (
        told["entries"][0]["answer"]["items"] == client.post("/v1/rank", questions[0])[1]["items"]
    )
    assert len(told["entries"][1]["answer"]["items"]) == 3
    assert "1000000" in told["entries"][2]["error"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 400, "object"),
        ({"usr": 1}, 400, "usr"),
        ({"user": 1.5}, 400, "user"),
        ({"user": "ann"}, 400, "numbers"),
        ({"user": 1 << 70}, 400, "user"),
        ({"k": 0}, 400, "k"),
        ({"k": "ten"}, 400, "k"),
        ({"deadline_ms": -1}, 400, "deadline_ms"),
        ({"candidates": []}, 400, "candidates"),
        ({"candidates": [1, 10**6]}, 400, "1000000"),
        ({"candidates": list(range(151))}, 400, "150"),
        ({"features": {"height": 3}}, 400, "height"),
        ({"features": {"price": 3}}, 400, "price"),
        ({"features": {"segment": 99}}, 400, "segment"),
        ({"features": {"segment": "a"}}, 400, "segment"),
        ({"features": {"budget": 1e39}}, 400, "budget"),
        ({"features": {"history": 3}}, 400, "history"),
        ({"features": {"history": [1, [2, 1.0]]}}, 400, "weight"),
        (b"\xff" * 9_000_000, 413, "bytes"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(
    client: Client, body: Any, status: int, words: str
) -> None:
    found, told = client.post("/v1/rank", body)

    assert (found, list(told)) == (status, ["error"])
    assert words in told["error"]
    assert client.post("/v1/rank", {"user": 1})[0] == 200  # the service goes on


def test_bodies_that_are_not_plain_json_are_refused(client: Client) -> None:
    assert client.post("/v1/rank", {}, Content_Encoding="gzip")[0] == 415
    assert client.post("/v1/rank", {}, Content_Type="text/plain")[0] == 415
    assert client.get("/v1/rank")[0] == 405
    status, told = client.get("/nothing")
    assert (status, list(told)) == (404, ["error"])


def test_it_says_how_it_is_and_how_it_is_asked(client: Client) -> None:
    assert client.get("/v2/health/live")[0] == 200
    assert client.get("/v2/health/ready")[0] == 200
    _, api = client.get("/openapi.json")
    assert api["openapi"].startswith("3.1")
    assert "candidates" in api["components"]["schemas"]["Question"]["properties"]
    assert "NDCG" in client.get("/")[1]


def test_every_question_is_counted_once(client: Client) -> None:
    def counts() -> float:
        lines = client.get("/metrics")[1].splitlines()
        found = [line for line in lines if line.startswith("recfunnel_questions_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    before = counts()
    client.post("/v1/rank", {"user": 1})
    client.post("/v1/rank", {"user": "wrong"})
    client.post("/v1/rank/bulk", {"requests": [{"user": 1}, {"candidates": [10**6]}]})

    assert counts() == before + 4


def test_a_deadline_nobody_can_meet_is_refused_at_once(client: Client) -> None:
    status, told = client.post("/v1/rank", {"user": 1, "deadline_ms": 1e-6})

    assert status == 503
    assert "quickest path" in told["error"]


def test_told_to_stop_it_ends_well(run: Path) -> None:
    with served(run, "--workers", "1") as found:
        assert found.client.post("/v1/rank", {"user": 1})[0] == 200
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(20) == 0


def test_a_dead_worker_is_replaced(run: Path) -> None:
    with served(run, "--workers", "2") as found:
        children = psutil.Process(found.process.pid).children()
        workers = [child for child in children if "spawn_main" in str(child.cmdline())]
        assert len(workers) == 2
        workers[0].kill()
        found.wait_for("(takes over)", 10)
        for _ in range(5):
            other = Client(found.client.port)
            assert other.post("/v1/rank", {"user": 1})[0] == 200
            other.close()


def test_a_plan_that_was_changed_is_not_served(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = load_plan(run / "plan.json")
    text = json.loads((run / "plan.json").read_text())
    text["rate_qps"] = 2 * plan.rate_qps
    write_json(run / "changed.json", text)

    assert run_command(["serve", str(run / "changed.json")]) == 2
    assert "changed" in capsys.readouterr().err


def test_a_plan_without_its_models_is_not_served(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("plan.json", "study.toml"):
        (tmp_path / name).write_bytes((run / name).read_bytes())

    assert run_command(["serve", str(tmp_path)]) == 2
    assert "no finished model" in capsys.readouterr().err


def test_a_taken_port_is_said_before_anything_is_loaded(
    run: Path, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["serve", str(run), "--port", str(client.port)]) == 2
    assert "--port" in capsys.readouterr().err


def test_read_json_is_what_the_plan_says(run: Path) -> None:
    """The deployment's first point is the chosen one, the others are worse and carry more."""
    deployment = read_deployment(run)
    chosen, *others = deployment.points

    assert chosen == deployment.plan.chosen
    qualities = [point.objectives.ndcg.mean for point in deployment.points]
    assert qualities == sorted(qualities, reverse=True)
    for point in others:
        assert point.objectives.capacity_qps.mean > chosen.objectives.capacity_qps.mean
    assert read_json(run / "plan.json", dict)
