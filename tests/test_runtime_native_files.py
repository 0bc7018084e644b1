"""A compiled form on disk: made once, shared, never used where it does not fit."""

import multiprocessing
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recfunnel.cli.main import run_command
from recfunnel.compile.load import load_graph
from recfunnel.core.arrays import Ragged
from recfunnel.core.dataset import Dataset, Interactions, Provenance, QuerySet, save_dataset
from recfunnel.core.features import Features
from recfunnel.models.checkpoint import save_checkpoint
from recfunnel.models.dlrm import DLRM
from recfunnel.runtime import _native, native_compile, native_files
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.messages import ServingSetup
from recfunnel.runtime.native import Native, NativeModel
from recfunnel.runtime.native_files import kept_forms
from recfunnel.testing.model import EXAMPLE_SCHEMA, fill_with_noise, random_features
from recfunnel.testing.runtime import NUM_ITEMS, RuntimeContract

CONTRACT = RuntimeContract()
SHARED, COPIED = Native(), Native(huge_pages=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return CONTRACT.save(tmp_path, "dlrm")


def form_of(folder: Path) -> Path:
    (form,) = (folder / "compiled").glob("*/manifest.json")
    return form.parent


def identity(folder: Path) -> int:
    """Which file the records are; another when they were made again."""
    return (form_of(folder) / "records.npy").stat().st_ino


def scores_of(model: NativeModel) -> Any:
    return model.score(CONTRACT.context(), None)


@pytest.mark.parametrize("spec", [SHARED, COPIED, Native(records="int8", tables="float16")])
def test_what_was_kept_scores_as_what_was_never_stored(folder: Path, spec: Native) -> None:
    fresh = spec.load_graph(load_graph(folder), CONTRACT.items())
    made = spec.load(folder, CONTRACT.items())
    kept = identity(folder)
    read = spec.load(folder, CONTRACT.items())

    np.testing.assert_array_equal(scores_of(made), scores_of(fresh))
    np.testing.assert_array_equal(scores_of(read), scores_of(fresh))
    assert identity(folder) == kept
    assert read.remarks == ()
    assert fresh.records.stored is not None
    np.testing.assert_array_equal(read.records.stored, fresh.records.stored)


def test_each_form_is_kept_on_its_own(folder: Path) -> None:
    for spec in (Native(), Native(precision="bfloat16"), Native(catalogue="hoisted")):
        spec.load(folder, CONTRACT.items())
    assert len(kept_forms(folder)) == 3
    assert min(kept_forms(folder).values()) > 0


def other_items(folder: Path) -> Features:
    del folder
    return CONTRACT.items().take(np.arange(NUM_ITEMS)[::-1])


def other_model(folder: Path) -> Features:
    spec = CONTRACT.specs["dlrm"][0]
    module = spec.build(EXAMPLE_SCHEMA, 0)
    fill_with_noise(module, seed=5)
    place = folder.parent / "other"
    save_checkpoint(place, spec, EXAMPLE_SCHEMA, module, name="dlrm", score_inputs=[])
    for file in place.iterdir():
        file.replace(folder / file.name)
    return CONTRACT.items()


def other_compiler(folder: Path) -> Features:
    manifest = form_of(folder) / "manifest.json"
    manifest.write_text(manifest.read_text().replace(native_files.compiler_hash(), "0" * 16))
    return CONTRACT.items()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_items, "compiled from other items"),
        (other_model, "compiled from another model"),
        (other_compiler, "compiled from another version of recfunnel"),
    ],
)
def test_what_was_made_from_something_else_is_made_anew(
    folder: Path, change: Callable[[Path], Features], words: str
) -> None:
    SHARED.load(folder, CONTRACT.items())
    kept = identity(folder)
    items = change(folder)
    again = SHARED.load(folder, items)

    assert identity(folder) != kept
    assert words in " ".join(again.remarks)
    fresh = SHARED.load_graph(load_graph(folder), items)
    np.testing.assert_array_equal(scores_of(again), scores_of(fresh))
    assert SHARED.load(folder, items).remarks == ()


def truncate(form: Path) -> None:
    file = form / "records.npy"
    file.write_bytes(file.read_bytes()[:-7])


def change_a_record(form: Path) -> None:
    file = form / "records.npy"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)


def change_the_program(form: Path) -> None:
    file = max((form / "program").glob("array*.npy"), key=lambda file: file.stat().st_size)
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)


def lose_an_array(form: Path) -> None:
    next((form / "program").glob("array*.npy")).unlink()


def break_the_manifest(form: Path) -> None:
    (form / "manifest.json").write_text('{"format_version": 1')


def lose_the_records(form: Path) -> None:
    (form / "records.npy").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        change_a_record,
        change_the_program,
        lose_an_array,
        break_the_manifest,
        lose_the_records,
    ],
)
def test_damaged_files_are_named_and_made_anew(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    expected = scores_of(SHARED.load(folder, CONTRACT.items()))
    damage(form_of(folder))
    again = SHARED.load(folder, CONTRACT.items())

    (remark,) = again.remarks
    assert str(form_of(folder)) in remark
    assert "compiled again" in remark
    np.testing.assert_array_equal(scores_of(again), expected)
    assert SHARED.load(folder, CONTRACT.items()).remarks == ()


def test_a_change_of_an_item_stays_in_its_process(folder: Path) -> None:
    ours, theirs = (SHARED.load(folder, CONTRACT.items()) for _ in range(2))
    before = scores_of(theirs)
    stored = (form_of(folder) / "records.npy").read_bytes()
    ours.update_items(np.array([3]), CONTRACT.items().row(5))

    assert (scores_of(ours)[:, 3] != before[:, 3]).any()
    np.testing.assert_array_equal(scores_of(theirs), before)
    assert (form_of(folder) / "records.npy").read_bytes() == stored


def test_a_form_that_was_not_finished_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> Iterator[object]:
        yield slice(0, 1), np.zeros((1, 1), np.float32)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(native_files, "made_records", dies)
        with pytest.raises(KeyboardInterrupt):
            SHARED.load(folder, CONTRACT.items())
    assert kept_forms(folder) == {}
    assert SHARED.load(folder, CONTRACT.items()).remarks == ()


def test_who_wants_a_form_that_is_being_made_waits_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers, make = [], native_files.made_records

    def slowly(*given: Any) -> Any:
        makers.append(threading.get_ident())
        time.sleep(0.3)
        yield from make(*given)

    monkeypatch.setattr(native_files, "made_records", slowly)
    with ThreadPoolExecutor(3) as pool:
        models = list(pool.map(lambda _: SHARED.load(folder, CONTRACT.items()), range(3)))

    assert len(makers) == 1
    assert [model.remarks for model in models] == [(), (), ()]


def test_where_nothing_can_be_written_it_is_compiled_in_memory_and_said(folder: Path) -> None:
    (folder / "compiled").write_text("in the way")
    model = SHARED.load(folder, CONTRACT.items())

    assert "'dlrm' is compiled in every process" in " ".join(model.remarks)
    fresh = SHARED.load_graph(load_graph(folder), CONTRACT.items())
    np.testing.assert_array_equal(scores_of(model), scores_of(fresh))


def test_workers_tell_what_they_found(tmp_path: Path) -> None:
    """A form that had to be made again is in the notes of whoever loaded it, and only then."""
    place = make_run(tmp_path)
    setup = ServingSetup({"native": SHARED}, place / "models", place / "data", {"dlrm": ()})
    for told in ((), ("dlrm: ",), ()):
        with Engine(setup) as engine:
            engine.load_models((("dlrm", "native"),), num_servers=1, num_threads=1)
            assert tuple(note[:6] for note in engine.notes if "compiled" in note) == told
        if not told:
            truncate(form_of(place / "models" / "dlrm"))


def make_run(folder: Path) -> Path:
    """A run folder with one model and its queries."""
    CONTRACT.save(folder / "models", "dlrm")
    excluded = Ragged.from_rows([[] for _ in range(6)])
    queries = QuerySet(
        EXAMPLE_SCHEMA, CONTRACT.context(), CONTRACT.items(), None, excluded, excluded
    )
    nobody, nothing = np.zeros(1, np.int64), np.ones(1, np.float32)
    dataset = Dataset(
        "tiny",
        "implicit",
        EXAMPLE_SCHEMA,
        queries.context,
        queries.items,
        Interactions(nobody, nobody, nothing, nothing),
        queries,
        queries,
        Provenance(source="made up", licence="none", split="all"),
    )
    save_dataset(folder / "data", dataset)
    return folder


def test_explain_says_what_is_kept_and_why_there_are_no_huge_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make_run(tmp_path)
    SHARED.load(place / "models" / "dlrm", CONTRACT.items())
    (name,) = kept_forms(place / "models" / "dlrm")
    monkeypatch.setattr(native_compile, "huge_page_refusal", lambda: "turned off")
    assert run_command(["explain", "dlrm", "--out", str(place)]) == 0
    said = " ".join(capsys.readouterr().out.split())

    assert f"Kept compiled, shared by all processes: {name}," in said
    assert "No huge pages for records: turned off" in said


def many_items(folder: Path, num_items: int) -> tuple[Path, Features]:
    """A model whose records take some megabytes, and its items."""
    spec = DLRM(embedding_dim=32, bottom=(8,), top=(8,))
    module = spec.build(EXAMPLE_SCHEMA, 0)
    fill_with_noise(module)
    save_checkpoint(folder / "wide", spec, EXAMPLE_SCHEMA, module, name="wide", score_inputs=[])
    rng = np.random.default_rng(0)
    return folder / "wide", random_features(EXAMPLE_SCHEMA, "candidate", num_items, rng)


def test_records_without_huge_pages_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, items = many_items(tmp_path, 20_000)
    expected = SHARED.load(folder, items)
    new_bytes = _native.new_bytes
    monkeypatch.setattr(_native, "new_bytes", lambda size, _: (new_bytes(size, False)[0], "no"))
    model = COPIED.load(folder, items)

    assert model.remarks == ("records do not lie in huge pages: no",)
    np.testing.assert_array_equal(model.records.stored, expected.records.stored)


def test_records_that_got_too_few_huge_pages_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Allowed by the system's settings, and yet not given: memory is in pieces, say."""
    folder, items = many_items(tmp_path, 20_000)
    new_bytes = _native.new_bytes
    monkeypatch.setattr(_native, "new_bytes", lambda size, _: new_bytes(size, False))
    for model in (COPIED.load(folder, items), COPIED.load_graph(load_graph(folder), items)):
        (remark,) = model.remarks
        assert re.match(r"only \d+% of the records lie in huge pages", remark)


def test_records_too_large_to_copy_stay_in_their_file_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, items = many_items(tmp_path, 20_000)
    monkeypatch.setattr(native_files, "allowed_memory_bytes", lambda: 1 << 20)
    model = COPIED.load(folder, items)

    assert "records stay in their file" in " ".join(model.remarks)
    assert model.score(CONTRACT.context(), None).shape == (6, 20_000)


def of_records(what: str) -> tuple[int, set[str]]:
    """KiB of the records' file in this process, and which file that is."""
    found, inodes, own = 0, set(), False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0]:
            own = words[-1].endswith("records.npy")
            inodes |= {words[4]} if own else set()
        elif own and words[0] == f"{what}:":
            found += int(words[1])
    return found, inodes


def serve_all(folder: Path, num_items: int, together: Any, answers: Any) -> None:
    """Load at the same moment as the others, read every record, tell what that took."""
    rng = np.random.default_rng(0)
    items = random_features(EXAMPLE_SCHEMA, "candidate", num_items, rng)
    together.wait()
    model = SHARED.load(folder, items)
    model.score(CONTRACT.context().row(0), None)
    together.wait()
    answers.put((*of_records("Rss"), *of_records("Pss"), model.remarks))
    together.wait()


def test_processes_that_start_together_make_one_file_and_share_its_memory(tmp_path: Path) -> None:
    """Each sees all its records, each is charged half of them."""
    num_items = 60_000
    folder, _ = many_items(tmp_path, num_items)
    context = multiprocessing.get_context("spawn")
    together, answers = context.Barrier(2, timeout=60), context.Queue()
    given = (folder, num_items, together, answers)
    both = [context.Process(target=serve_all, args=given) for _ in range(2)]
    for process in both:
        process.start()
    found = [answers.get(timeout=60) for _ in both]
    for process in both:
        process.join(20)

    size_kib = (form_of(folder) / "records.npy").stat().st_size / 1024
    assert size_kib > 8000
    for resident_kib, inodes, charged_kib, _, remarks in found:
        assert inodes == {str(identity(folder))}
        assert remarks == ()
        assert resident_kib > 0.98 * size_kib
        assert charged_kib < 0.55 * size_kib
