"""The page: well-formed, complete, offline, escaped, and whole or absent."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from recfunnel.core.errors import StorageError
from recfunnel.core.results import DesignPoint
from recfunnel.report import figures
from recfunnel.report.answer import answer
from recfunnel.report.html import render_html, write_html
from recfunnel.report.summary import RunSummary
from report_sample import bare_summary, infeasible_summary, sample_summary

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}
SECTIONS = [
    "why",
    "front",
    "models",
    "alone",
    "quality",
    "load",
    "verification",
    "data",
    "machine",
    "reproduce",
    "glossary",
]
HOSTILE = "<script>alert('x')</script>&\"'"


class Page(HTMLParser):
    """Elements in order; fails on a tag that closes another."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.scripts.append(data)
        elif "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def having(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(k) == v for k, v in attributes.items())
        ]


@pytest.fixture(scope="module")
def pages() -> dict[str, tuple[str, Page]]:
    made = {
        "full": sample_summary(),
        "infeasible": infeasible_summary(),
        "bare": bare_summary(),
    }
    texts = {name: render_html(summary) for name, summary in made.items()}
    return {name: (text, Page(text)) for name, text in texts.items()}


@pytest.mark.parametrize("name", ["full", "infeasible", "bare"])
def test_every_page_has_every_section_in_order(pages, name: str) -> None:
    """That of runtimes alone where there are several; what has not run says so in its place."""
    page = pages[name][1]
    sections = [section for section in SECTIONS if section != "alone" or name != "bare"]
    assert [e["id"] for e in page.having("section")] == sections
    targets = [e["href"] for e in page.having("a")]
    assert targets == [f"#{section}" for section in sections]
    assert len(page.having("h1")) == 1


@pytest.mark.parametrize("name", ["full", "infeasible", "bare"])
def test_no_page_asks_the_network_for_anything(pages, name: str) -> None:
    text, page = pages[name]
    assert re.findall(r'(?<!xmlns=")(?<!xmlns:xlink=")https?://', text) == []
    assert not re.search(r"@import|url\((?!#|data:)", text)
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        for key in ("src", "srcset", "href", "xlink:href", "action", "data"):
            assert (attributes.get(key) or "#").startswith(("#", "data:")), (tag, key)


def test_ids_are_unique(pages) -> None:
    ids = [attributes["id"] for _, attributes in pages["full"][1].elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_headline_comes_first_and_with_its_numbers(pages) -> None:
    text = pages["full"][1].text
    for words in (
        "0.3919 ± 0.0027",
        "validation 0.3930",
        "7.28 ± 0.22 ms",
        "584 queries/s",
        "5.19 ± 0.26 ms",
    ):
        assert text.index(words) < text.index("Pareto front")
    assert "predicted 5.07 ms, \N{MINUS SIGN}2.3 %" in text
    assert "2.92 times the load" in text
    assert "meets the target" in text


def test_the_headline_is_the_test_figure_and_names_the_planned_one() -> None:
    summary = sample_summary()
    bare = msgspec.structs.replace(summary, attribution=None)
    trusted = msgspec.structs.replace(bare, planned_on="")
    notes = [answer(s).key_numbers[0] for s in (summary, bare, trusted)]
    assert [n.value for n in notes] == ["0.3919 ± 0.0027"] + ["0.3930 ± 0.0027"] * 2
    assert [n.note for n in notes] == [
        "on test; validation 0.3930",
        "on the validation queries",
        "± one standard error",
    ]


def test_every_figure_of_the_full_page_has_title_and_caption(pages) -> None:
    page = pages["full"][1]
    assert len(page.having("figure")) == 4
    assert len(page.having("figcaption")) == 4
    assert len(page.having("svg", role="img")) == 4


def test_tables_are_sortable_by_value(pages) -> None:
    page = pages["full"][1]
    assert len([t for t in page.having("table") if "sortable" in (t["class"] or "")]) == 7
    orders = [cell["data-order"] for cell in page.having("td") if "num" in (cell["class"] or "")]
    assert orders
    for order in orders:
        assert order == "" or float(order or "nan") is not None
    assert "inf" in orders  # an unsteady latency sorts above every steady one


def test_the_infeasible_page_says_what_is_missing_and_what_would_help(pages) -> None:
    page = pages["infeasible"][1]
    text = page.text
    assert page.having("span", **{"class": "badge infeasible"})
    assert not page.having("span", **{"class": "badge feasible"})
    assert "What would help" in text
    assert text.index("add a cheaper front model") < text.index("Pareto front")


def test_the_bare_page_says_not_measured_yet_everywhere(pages) -> None:
    assert pages["bare"][1].text.count("Not measured yet") == 10


@pytest.mark.parametrize("part", [f for f in RunSummary.__struct_fields__ if f != "study"])
def test_any_one_part_may_be_missing(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "all_figures", lambda _: ())  # they have their own tests
    empty = getattr(bare_summary(), part)
    summary = msgspec.structs.replace(sample_summary(), **{part: empty})
    Page(render_html(summary))


def _hostile(value: object) -> object:
    """The same plain data with every free text replaced by an attack."""
    keep = {"role", "verdict", "profile_source", "unit", "name", "model", "platform", "keep"}
    if isinstance(value, dict):
        return {k: v if k in keep else _hostile(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_hostile(v) for v in value]
    return HOSTILE if isinstance(value, str) else value


def test_no_text_of_a_user_becomes_markup() -> None:
    plain = msgspec.to_builtins(sample_summary())
    hostile = msgspec.convert(_hostile(plain), RunSummary)
    models = tuple(msgspec.structs.replace(m, name=HOSTILE) for m in hostile.models)
    plan = hostile.plan
    assert plan is not None
    assert plan.chosen is not None
    chosen = _renamed(plan.chosen)
    plan = msgspec.structs.replace(plan, chosen=chosen, baselines=(chosen,))
    page = Page(render_html(msgspec.structs.replace(hostile, models=models, plan=plan)))
    assert len(page.having("script")) == 2  # the stored numbers and the sorting, no third
    assert page.text.count("<script>alert('x')</script>&\"'") > 20


def _renamed(point: DesignPoint) -> DesignPoint:
    text = msgspec.json.encode(point).replace(b'"ease"', msgspec.json.encode(HOSTILE))
    return msgspec.json.decode(text, type=DesignPoint)


@pytest.mark.parametrize(
    ("name", "make"),
    [("full", sample_summary), ("infeasible", infeasible_summary), ("bare", bare_summary)],
)
def test_the_page_holds_its_own_numbers(pages, name: str, make) -> None:
    scripts = pages[name][1].scripts
    stored = next(script for script in scripts if script.lstrip().startswith("{"))
    assert msgspec.convert(json.loads(stored), RunSummary) == make()
    assert not set("<>&") & set(stored)  # nothing in it can end the element it stands in


def test_the_same_run_gives_the_same_page(pages) -> None:
    assert render_html(sample_summary()) == pages["full"][0]


def test_the_page_appears_whole(tmp_path: Path) -> None:
    write_html(bare_summary(), tmp_path / "run" / "report.html")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["report.html"]


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError, match=r"run.report\.html"):
        write_html(bare_summary(), tmp_path / "run" / "report.html")
