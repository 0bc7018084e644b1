"""The terminal report: complete, 100 columns wide, the same without colour."""

import io

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from recfunnel.report.model_tables import models_table
from recfunnel.report.table import Table
from recfunnel.report.tables import (
    baselines_table,
    front_table,
    quality_table,
    verification_table,
)
from recfunnel.report.terminal import draw_report, report_text, shortened
from report_sample import bare_summary, infeasible_summary, sample_summary

SUMMARIES = [sample_summary, infeasible_summary, bare_summary]
TABLES = [models_table, front_table, baselines_table, quality_table, verification_table]


@pytest.mark.parametrize("make", SUMMARIES)
def test_no_line_is_wider_than_100(make) -> None:
    assert max(cell_len(line) for line in report_text(make()).splitlines()) <= 100


@pytest.mark.parametrize("build", TABLES)
def test_at_100_columns_each_row_stays_on_its_line(build) -> None:
    table: Table = build(sample_summary())
    text = report_text(sample_summary())
    shown = [i for i, column in enumerate(table.columns) if column.in_terminal]
    lines = text.splitlines()
    for row in table.rows[:12]:
        cells = [row.cells[i].text for i in shown]
        assert any(all(cell in line for cell in cells) for line in lines), cells


@pytest.mark.parametrize("build", TABLES)
@pytest.mark.parametrize("make", SUMMARIES)
def test_every_row_has_a_cell_for_every_column(build, make) -> None:
    table: Table = build(make())
    assert all(len(row.cells) == len(table.columns) for row in table.rows)


def test_times_are_of_what_a_query_brings_and_not_of_all_rows_of_a_click_log() -> None:
    summary = sample_summary()
    assert summary.dataset is not None
    clicks = msgspec.structs.replace(summary.dataset, num_candidates=512)
    titles = [column.title for column in models_table(summary).columns]
    assert "3,706 items" in titles
    table = models_table(msgspec.structs.replace(summary, dataset=clicks))
    assert [column.title for column in table.columns] == [
        title.replace("3,706", "512") for title in titles
    ]


def test_colour_adds_nothing_but_colour() -> None:
    coloured = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="truecolor")
    draw_report(sample_summary(), coloured)
    assert isinstance(coloured.file, io.StringIO)
    stripped = Console(file=io.StringIO(), width=100)
    from rich.text import Text

    plain = Text.from_ansi(coloured.file.getvalue()).plain
    assert [line.rstrip() for line in plain.splitlines()] == [
        line.rstrip() for line in report_text(sample_summary()).rstrip("\n").splitlines()
    ]
    assert stripped.width == 100


def test_the_chosen_row_is_marked_without_colour() -> None:
    marked = [line for line in report_text(sample_summary()).splitlines() if "▶" in line]
    assert len(marked) == 2  # on the front, and beside the plans of each runtime alone
    assert all("ease 256 · rerank 64" in line for line in marked)


def test_the_infeasible_answer_says_what_is_missing_and_what_would_help() -> None:
    text = report_text(infeasible_summary())
    assert "Nothing meets p99 within 200 \N{MICRO SIGN}s at 200 queries/s" in text
    assert "410 \N{MICRO SIGN}s" in text
    assert "1. allow a p99 of 0.42 ms" in text


def test_a_run_that_has_not_verified_says_so() -> None:
    summary = msgspec.structs.replace(sample_summary(), verification=())
    assert report_text(summary).count("not measured yet") == 2  # key number and table


def test_an_unsteady_latency_is_never_a_number() -> None:
    row = next(
        r for r in baselines_table(sample_summary()).rows if r.cells[0].text == "rerank alone"
    )
    assert row.cells[3].text == "not steady"


def test_markup_in_a_name_is_text() -> None:
    summary = msgspec.structs.replace(sample_summary(), study="[bold]x[/bold] [/nonsense]")
    assert "[bold]x[/bold] [/nonsense]" in report_text(summary)


def test_a_long_front_is_shortened_but_keeps_the_chosen_row() -> None:
    table = front_table(sample_summary())
    short = shortened(table, 2)
    assert len(short.rows) == 3
    assert short.rows[-1].tone == "chosen"
    assert f"{len(table.rows) - 3} more" in short.caption


def test_a_polluted_row_is_marked_and_not_judged() -> None:
    table = verification_table(sample_summary())
    polluted = [row for row in table.rows if row.cells[0].text.endswith("*")]
    assert [row.tone for row in polluted] == ["muted"]
    assert all(cell.tone not in ("good", "bad") for cell in polluted[0].cells)
    assert "1 of 8" in table.caption
    assert "steal time 4.1 %" in table.caption


def test_each_verification_row_shows_and_sorts_by_its_own_errors() -> None:
    summary = sample_summary()
    for row, source in zip(verification_table(summary).rows, summary.verification, strict=True):
        orders = [cell.order for cell in row.cells if cell.text.endswith(" %")]
        assert orders == [
            source.load_fraction,
            source.throughput_error,
            source.p50_error,
            source.p99_error,
        ]
    shown = verification_table(summary).rows[2].cells
    assert [cell.text for cell in shown][-1] == "\N{MINUS SIGN}5.3 %"


def test_a_note_is_said_once_for_all_the_runs_it_is_about() -> None:
    summary = sample_summary()
    rows = [msgspec.structs.replace(row, notes=("made anew",)) for row in summary.verification]
    rows[0] = msgspec.structs.replace(rows[0], notes=("made anew", "1 of 4 runs were disturbed"))
    rows[1] = msgspec.structs.replace(rows[1], notes=("made anew", "slow"))
    rows[2] = msgspec.structs.replace(rows[2], notes=("made anew", "slow"))
    note = verification_table(msgspec.structs.replace(summary, verification=tuple(rows))).caption
    assert note.count("made anew") == 1
    assert "Every run: made anew." in note
    assert note.count("slow") == 1
