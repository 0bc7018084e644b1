"""Figures: titled, self-contained, reproducible, and without text over text."""

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import numpy as np
import pytest
from matplotlib.text import Text

from recfunnel.core.results import DesignPoint, Estimate, ParetoFront
from recfunnel.report.figure import Figure
from recfunnel.report.figure_front import front_figure
from recfunnel.report.figure_load import load_figure
from recfunnel.report.figures import all_figures, save_figures
from recfunnel.report.findings import LoadCurve
from recfunnel.report.formatting import compact_name
from recfunnel.report.summary import RunSummary
from report_sample import bare_summary, infeasible_summary, sample_summary

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["front", "load", "quality", "verification"]


@pytest.fixture(scope="module")
def figures() -> tuple[Figure, ...]:
    return all_figures(sample_summary())


def test_a_full_run_has_all_figures(figures: tuple[Figure, ...]) -> None:
    assert [figure.name for figure in figures] == NAMES


def test_a_run_without_results_has_none() -> None:
    assert all_figures(bare_summary()) == ()


def test_an_infeasible_run_still_shows_the_front() -> None:
    assert [figure.name for figure in all_figures(infeasible_summary())] == ["front"]


def test_every_figure_is_a_titled_described_image(figures: tuple[Figure, ...]) -> None:
    for figure in figures:
        root = ElementTree.fromstring(figure.svg())
        assert root.get("role") == "img"
        title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None
        assert title.text == figure.title
        assert description is not None
        assert description.text == figure.description
        assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"


def test_figures_refer_to_nothing_outside_and_share_no_id(figures: tuple[Figure, ...]) -> None:
    text = "".join(figure.svg() for figure in figures)
    assert re.findall(r'(?<!xmlns=")(?<!xmlns:xlink=")https?://', text) == []
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    for target in re.findall(r'(?:url\(|href=")#([^")]+)', text):
        assert target in ids


def test_the_same_run_gives_the_same_file(figures: tuple[Figure, ...]) -> None:
    for figure, again in zip(figures, all_figures(sample_summary()), strict=True):
        assert figure.svg() == again.svg()


def test_every_front_point_has_a_tooltip(figures: tuple[Figure, ...]) -> None:
    root = ElementTree.fromstring(figures[0].svg())
    titles = [group.findtext(f"{SVG}title") for group in root.iter(f"{SVG}g")]
    plan = sample_summary().plan
    assert plan is not None
    told = [title for title in titles if title]
    assert len(told) == len(plan.front.points)
    assert all("capacity" in title for title in told)


def _text_boxes(figure: Figure) -> list[tuple[str, object]]:
    figure.canvas.draw_without_rendering()
    texts = [t for axes in figure.canvas.axes for t in axes.texts if t.get_text()]
    return [(t.get_text(), Text.get_window_extent(t)) for t in texts]


def test_no_label_covers_another(figures: tuple[Figure, ...]) -> None:
    for figure in figures:
        if figure.name == "verification":
            continue  # marks of equal load on two paths may touch; the table holds the numbers
        for (name, box), (other, under) in itertools.combinations(_text_boxes(figure), 2):
            assert not box.overlaps(under), f"{figure.name}: {name!r} over {other!r}"


def test_labels_stay_apart_however_crowded_the_baselines_are() -> None:
    summary = sample_summary()
    plan = summary.plan
    assert plan is not None
    rng = np.random.default_rng(3)
    crowd = tuple(
        msgspec.structs.replace(
            point,
            objectives=msgspec.structs.replace(
                point.objectives, capacity_qps=Estimate.exact(600 * float(rng.uniform(0.7, 1.4)))
            ),
        )
        for point in plan.baselines
    )
    figure = front_figure(
        msgspec.structs.replace(summary, plan=msgspec.structs.replace(plan, baselines=crowd))
    )
    assert figure is not None
    boxes = [box for _, box in _text_boxes(figure)]
    overlaps = sum(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert overlaps == 0


def _only(summary: RunSummary, point: DesignPoint) -> RunSummary:
    assert summary.plan is not None
    plan = msgspec.structs.replace(
        summary.plan, chosen=point, front=ParetoFront(points=(point,)), baselines=()
    )
    return msgspec.structs.replace(summary, plan=plan, evaluated=())


def test_a_front_of_one_point_is_drawn() -> None:
    summary = sample_summary()
    assert summary.plan is not None
    assert summary.plan.chosen is not None
    figure = front_figure(_only(summary, summary.plan.chosen))
    assert figure is not None
    assert "<svg" in figure.svg()


def test_a_front_of_one_unsteady_point_without_capacity_is_drawn() -> None:
    summary = sample_summary()
    assert summary.plan is not None
    assert summary.plan.chosen is not None
    goals = msgspec.structs.replace(
        summary.plan.chosen.objectives,
        tail_latency_s=Estimate(mean=math.inf, stderr=math.inf, num_samples=1),
        capacity_qps=Estimate.exact(0.0),
        ndcg=Estimate(mean=0.0, stderr=math.inf, num_samples=1),
    )
    point = msgspec.structs.replace(summary.plan.chosen, objectives=goals)
    figure = front_figure(_only(summary, point))
    assert figure is not None
    assert "<svg" in figure.svg()


def test_curves_that_are_never_steady_are_left_out() -> None:
    summary = sample_summary()
    dead = LoadCurve(name="dead", role="baseline", points=summary.curves[0].points[-1:])
    assert not dead.points[0].steady
    figure = load_figure(msgspec.structs.replace(summary, curves=(*summary.curves, dead)))
    assert figure is not None
    assert "dead" not in figure.description
    assert load_figure(msgspec.structs.replace(summary, curves=(dead,))) is None


def test_the_front_is_drawn_where_it_lies(figures: tuple[Figure, ...]) -> None:
    plan = sample_summary().plan
    assert plan is not None
    axes = figures[0].canvas.axes[0]
    for index, point in enumerate(plan.front.points):
        drawn = next(c for c in axes.collections if c.get_gid() == f"point-{index}")
        goals = point.objectives
        assert drawn.get_offsets().tolist() == [[goals.capacity_qps.mean, goals.ndcg.mean]]


def test_load_curves_are_drawn_through_their_points(figures: tuple[Figure, ...]) -> None:
    lines = {line.get_label(): line for line in figures[1].canvas.axes[0].lines}
    for curve in sample_summary().curves:
        steady = [p for p in curve.points if p.steady]
        line = lines[compact_name(curve.name)]
        assert list(line.get_xdata()) == [p.rate_qps for p in steady]
        assert list(line.get_ydata()) == [p.p99_s.mean for p in steady]


def test_the_bars_of_lost_quality_meet_end_to_end(figures: tuple[Figure, ...]) -> None:
    perfect, *losses, served = figures[2].canvas.axes[0].patches
    ends = [perfect, *losses]
    for bar, following in itertools.pairwise(ends):
        end = bar.get_x() if bar is not perfect else bar.get_width()
        assert following.get_x() + following.get_width() == pytest.approx(end)
    assert losses[-1].get_x() == pytest.approx(served.get_width())
    assert perfect.get_width() == 1


def test_the_band_is_15_percent_to_both_sides(figures: tuple[Figure, ...]) -> None:
    band = figures[3].canvas.axes[0].collections[0].get_paths()[0].vertices
    ratios = band[:, 1] / band[:, 0]
    assert sorted({round(float(r), 6) for r in ratios}) == [0.85, 1.15]


def test_figures_are_saved_as_svg_and_png(tmp_path: Path) -> None:
    files = save_figures(sample_summary(), tmp_path / "figures")
    assert sorted(file.name for file in files) == sorted(
        f"{name}.{kind}" for name in NAMES for kind in ("svg", "png")
    )
    for file in files:
        head = file.read_bytes()[:8]
        assert head.startswith(b"\x89PNG" if file.suffix == ".png" else b"<svg")
    assert not list((tmp_path / "figures").glob("*.tmp-*"))
