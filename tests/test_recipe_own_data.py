"""Recipes for data of one's own go all the way, and what is wrong with it is said in words."""

import json
import re
from pathlib import Path

import pytest

from data_samples import write_text
from recfunnel.cli.main import run_command
from recfunnel.core.storage import read_json
from recfunnel.report.summary import RunSummary
from recipe_world import write_click_log, write_requests, write_shop, write_short_study


def finished_run(
    folder: Path, recipe: str, data: Path, keep_count: int, *options: str
) -> RunSummary:
    """The summary of a whole run by the command line."""
    study = write_short_study(folder, recipe, keep_count)
    out = folder / "run"
    command = ["run", str(study), "--data", str(data), "--out", str(out), "--quiet", *options]
    assert run_command(command) == 0
    summary = read_json(out / "summary.json", RunSummary)
    assert summary.plan is not None
    assert summary.plan.chosen is not None
    page = (out / "report.html").read_text()
    assert summary.plan.chosen.path.pipeline.stages[0].model in page
    return summary


def patience(setting: str, *models: str) -> list[str]:
    """Options that set how long models are trained."""
    return [
        option
        for name in models
        for option in ("--set", f"models.{name}.training.patience.{setting}")
    ]


def ndcg_of(summary: RunSummary) -> dict[str, float]:
    return {row.name: row.ndcg.mean for row in summary.models if row.ndcg is not None}


@pytest.mark.slow
def test_interactions_described_in_toml_end_in_a_plan_and_a_report(tmp_path: Path) -> None:
    once = patience("max_epochs=1", "neumf_small", "dlrm_small", "reranker")
    summary = finished_run(tmp_path, "tabular", write_shop(tmp_path), 40, *once)
    ndcg = ndcg_of(summary)
    assert {"popularity", "als", "ease", "neumf_small", "dlrm_small", "reranker"} == set(ndcg)
    # every article is bought equally often: popularity knows nothing, all others the tastes
    assert min(value for name, value in ndcg.items() if name != "popularity") > 0.1
    assert summary.dataset is not None
    assert summary.dataset.num_ranked == summary.dataset.num_items == 140


@pytest.mark.slow
def test_requests_described_in_toml_end_in_a_plan_and_a_report(tmp_path: Path) -> None:
    summary = finished_run(tmp_path, "tabular", write_requests(tmp_path), 11)
    assert min(ndcg_of(summary).values()) > 0.7
    assert summary.dataset is not None
    assert summary.dataset.num_ranked == 24
    assert summary.plan is not None
    assert {point.path.pipeline.stages[0].num_in for point in summary.plan.baselines} == {24}


@pytest.mark.slow
def test_a_click_log_ends_in_a_plan_and_a_report(tmp_path: Path) -> None:
    log = write_click_log(tmp_path / "train.txt.gz")
    blocks = ("--set", "dataset.queries.num_candidates=40")
    steps = patience("min_steps=150", "dlrm_small", "dlrm_medium", "dlrm_large")
    summary = finished_run(tmp_path, "criteo", log, 20, *blocks, *steps)
    assert set(ndcg_of(summary)) == {"dlrm_small", "dlrm_medium", "dlrm_large"}
    assert summary.dataset is not None
    assert summary.dataset.num_ranked == 40


@pytest.mark.slow
@pytest.mark.data
def test_the_first_rows_of_the_real_log_are_ranked(tmp_path: Path, criteo_log: Path) -> None:
    blocks = ("--set", "dataset.queries.num_candidates=128")
    summary = finished_run(tmp_path, "criteo", criteo_log, 64, *blocks)
    assert summary.dataset is not None
    assert summary.dataset.num_items == 10_000


def run_on(folder: Path, recipe: str, data: Path, *options: str) -> int:
    study = write_short_study(folder, recipe, 20)
    command = ["run", str(study), "--data", str(data), "--out", str(folder / "run"), "--quiet"]
    return run_command([*command, *options])


def without_column(file: Path, number: int) -> None:
    rows = [line.split(",") for line in file.read_text().splitlines()]
    write_text(file, [",".join(row[:number] + row[number + 1 :]) for row in rows])


def with_column(file: Path, number: int, value: str) -> None:
    header, *rows = [line.split(",") for line in file.read_text().splitlines()]
    for row in rows:
        row[number] = value
    write_text(file, [",".join(row) for row in [header, *rows]])


def emptied(file: Path) -> None:
    file.write_text("")


def header_only(file: Path) -> None:
    write_text(file, file.read_text().splitlines()[:1])


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        ("purchases.csv", lambda f: without_column(f, 1), "purchases.csv has no column 'article'"),
        ("articles.csv", lambda f: without_column(f, 1), "articles.csv has no column 'price'"),
        ("purchases.csv", lambda f: with_column(f, 2, "good"), "must be a finite number"),
        ("articles.csv", lambda f: with_column(f, 1, "dear"), "line 2: price is 'dear'"),
        ("purchases.csv", emptied, "purchases.csv is empty; fetch or export it again"),
        ("purchases.csv", header_only, "purchases.csv has no rows below its header"),
        ("purchases.csv", lambda f: with_column(f, 1, "a0"), "'article' holds 1 item, ranking"),
        ("purchases.csv", lambda f: with_column(f, 2, "1"), "lower min_rating"),
        ("articles.csv", lambda f: f.unlink(), "articles.csv does not exist; check the path"),
        ("shop.toml", emptied, "task"),
        ("shop.toml", lambda f: f.write_text("a,b\n1,2"), "not TOML: .* not a table"),
        ("shop.toml", lambda f: f.unlink(), "give the TOML file that describes the tables"),
        (
            "shop.toml",
            lambda f: f.write_text(f.read_text().replace('"implicit"', '"implicid"')),
            "Invalid enum value 'implicid' .*; known: implicit, ctr",
        ),
    ],
)
def test_bad_tables_are_named_with_a_rule_and_a_remedy(  # type: ignore[no-untyped-def]
    tmp_path: Path, capfd: pytest.CaptureFixture[str], file: str, damage, says: str
) -> None:
    path = write_shop(tmp_path)
    damage(tmp_path / file)
    assert run_on(tmp_path, "tabular", path) == 2
    assert_said(says, capfd)


def assert_said(says: str, capfd: pytest.CaptureFixture[str]) -> None:
    message = capfd.readouterr().err
    assert message.startswith("error: ")
    assert "Traceback" not in message
    assert re.search(says, message), message


def test_requests_of_one_row_cannot_be_ranked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_requests(tmp_path, 60)
    rows = {line.split(",")[0]: line for line in (tmp_path / "impressions.csv").read_text().split()}
    write_text(tmp_path / "impressions.csv", list(rows.values()))
    assert run_on(tmp_path, "tabular", path) == 2
    assert_said("a query has 1 candidate, ranking needs at least 2; check which column", capfd)


def test_a_log_without_clicks_is_refused_before_anything_is_fitted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_requests(tmp_path, 60)
    with_column(tmp_path / "impressions.csv", 1, "0")
    assert run_on(tmp_path, "tabular", path, "--set", "space.keep_counts=[11]") == 2
    assert_said("0 of .* validation queries have a relevant candidate, .* check the label", capfd)
    assert not (tmp_path / "run" / "models").exists()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], r"train.txt is empty; fetch or export it again"),
        (["1\t2\t3"] * 9, "line 1: 3 fields, must be 40 .*; correct or remove the line"),
        (["x" + "\t" * 39] * 9, "line 1: label is 'x', must be a whole number; correct or remove"),
        (["1" + "\t" * 39], "1 rows leave a split empty; give more rows or other fractions"),
        (["1" + "\t" * 39] * 900, "takes 512 rows but the split has 90; set num_candidates to"),
    ],
)
def test_a_bad_log_is_named_with_a_rule_and_a_remedy(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], lines: list[str], says: str
) -> None:
    log = tmp_path / "train.txt"
    write_text(log, lines) if lines else log.write_text("")
    assert run_on(tmp_path, "criteo", log) == 2
    assert_said(says, capfd)


@pytest.mark.slow
def test_a_target_below_and_above_any_capacity_is_an_answer_with_remedies(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    once = patience("min_steps=40", "dlrm_small", "dlrm_medium", "dlrm_large")
    finished_run(tmp_path, "tabular", write_requests(tmp_path, 200), 11, *once)
    capfd.readouterr()
    for option in (("--rate", "1e9"), ("--deadline-ms", "0.001")):
        command = ["plan", "--out", str(tmp_path / "run"), "--quiet", "--json", *option]
        assert run_command(command) == 1
        shortfall = json.loads(capfd.readouterr().out)["plan"]["shortfall"]
        assert shortfall["needed"] != shortfall["available"]
        assert shortfall["remedies"]
