"""A study with several runtimes: exact ones compete, low precision makes models of its own."""

from collections.abc import Iterator

import numpy as np
import pytest
from msgspec import structs

from recfunnel.core.pipeline import base_name, variant_name
from recfunnel.report.html import render_html
from recfunnel.report.runtime_table import alone_table, alone_words
from recfunnel.report.summary import RunSummary
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.native import Native
from recfunnel.runtime.served import OpenLoad
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.study.by_runtime import plans_by_runtime
from recfunnel.study.planning import Planning
from recfunnel.study.run_folder import RunFolder
from recfunnel.study.study import Study
from recfunnel.study.summarise import summarise
from tiny_study import tiny_study

LOW = {
    "bf16": Native(precision="bfloat16", tables="bfloat16"),
    "int8": Native(precision="int8", records="int8", tables="int8"),
}
EXACT = {"native": Native(), "torch": TorchEager()}


def study_with(runtimes: dict[str, object]) -> Study:
    return structs.replace(tiny_study("measured"), runtimes=runtimes)


@pytest.fixture(scope="module")
def planning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planning]:
    with RunFolder(tmp_path_factory.mktemp("run")) as folder:
        yield Planning(study_with({**EXACT, **LOW}), folder)


@pytest.fixture(scope="module")
def summary(planning: Planning) -> RunSummary:
    return summarise(planning)


def test_each_model_has_a_variant_on_each_runtime_of_low_precision(planning: Planning) -> None:
    names = planning.study.models
    exact = {name: tuple(EXACT) for name in names}
    low = {variant_name(name, runtime): (runtime,) for name in names for runtime in LOW}
    assert planning.steps.served() == exact | low


@pytest.mark.parametrize("split", ["validation", "test"])
def test_variants_are_scored_on_their_own_and_near_their_model(
    planning: Planning, split: str
) -> None:
    tables = planning.steps.score(split)  # type: ignore[arg-type]
    steps = {"bf16": 2**-6, "int8": 2**-4}
    for name, table in tables.items():
        runtime = name.removeprefix(base_name(name)).removeprefix("@")
        exact = tables[base_name(name)].scores
        if runtime:
            difference = np.abs(table.scores - exact).max() / np.abs(exact).max()
            assert difference <= steps[runtime], name
    for runtime in LOW:
        assert (tables[variant_name("neumf", runtime)].scores != tables["neumf"].scores).any()


def test_variants_are_timed_on_their_runtime_alone(planning: Planning) -> None:
    timed = {(p.model, p.runtime) for p in planning.profile() if p.runtime in LOW}
    busy = {(model, runtime) for model, runtime in timed if "rested" not in model}
    assert busy == {(variant_name(m, r), r) for m in planning.study.models for r in LOW}


def test_the_plan_ranks_variants_as_models_and_says_what_runs_them(
    planning: Planning, summary: RunSummary
) -> None:
    rows = {row.name: row for row in summary.models}
    assert set(rows) == set(planning.steps.served())
    for name, row in rows.items():
        assert row.ndcg is not None, name
        assert row.service_catalogue_s is not None, name
    for point in planning.plan().plan.baselines:
        for model, runtime in point.path.runtimes:
            assert runtime in planning.steps.served()[model]


@pytest.mark.parametrize("name", ["als@int8", "neumf@bf16"])
def test_a_variant_is_served_as_it_was_scored(planning: Planning, name: str) -> None:
    """Worker processes answer with the very list that its stored scores give."""
    point = next(p for p in planning.plan().plan.baselines if p.path.pipeline.models == (name,))
    queries, scores = planning.steps.queries("test"), planning.steps.score("test")[name].scores
    rows = np.arange(20)
    with Engine(planning.setup()) as engine:
        engine.prepare(point.path)
        served = engine.run(OpenLoad(np.arange(20) / 200, rows))
    assert served.complete
    for row in rows:
        allowed = scores[row].copy()
        allowed[queries.excluded.row(int(row))] = -np.inf
        expected = np.argsort(-allowed, kind="stable")[: served.answers.shape[1]]
        np.testing.assert_array_equal(served.answers[row], expected)


def test_each_exact_runtime_alone_has_a_plan_of_its_own(
    planning: Planning, summary: RunSummary
) -> None:
    assert [entry.runtime for entry in summary.alone] == list(EXACT)
    for entry in summary.alone:
        assert entry.chosen is not None
        assert {runtime for _, runtime in entry.chosen.path.runtimes} == {entry.runtime}
        called = {model for model, _ in entry.chosen.path.runtimes}
        assert called <= set(planning.study.models)


def test_the_page_sets_them_side_by_side(summary: RunSummary) -> None:
    assert summary.plan is not None
    table, words, page = alone_table(summary), alone_words(summary), render_html(summary)
    capacities = [row.cells[5].order for row in table.rows[1:]]
    assert [row.cells[0].text for row in table.rows[:1]] == ["▶ all"]
    assert capacities == sorted(capacities, reverse=True)
    assert "alone the search chooses" in words
    assert words in page
    assert 'id="alone"' in page
    assert 'id="alone"' not in render_html(structs.replace(summary, alone=()))


def test_a_runtime_that_reaches_nothing_says_so(summary: RunSummary) -> None:
    nothing = structs.replace(summary.alone[1], chosen=None, reason="too slow", gain=None)
    changed = structs.replace(summary, alone=(summary.alone[0], nothing))

    assert "nothing meets the target" in [cell.text for cell in alone_table(changed).rows[2].cells]
    assert alone_words(changed) == ""


def test_modelled_times_belong_to_no_runtime_and_compare_none(planning: Planning) -> None:
    modelled = structs.replace(tiny_study(), runtimes=EXACT)

    assert plans_by_runtime(Planning(modelled, planning.folder)) == ()
