"""Criteo logs: encoded as DLRM reads them, in blocks, from training rows alone."""

import gzip
from collections import Counter
from math import log
from pathlib import Path

import numpy as np
import pytest

import data_samples as samples
from recfunnel.core.errors import DataError, StudyError
from recfunnel.core.spec import convert
from recfunnel.data.criteo import Criteo, fit_vocabularies
from recfunnel.data.criteo_files import criteo_blocks, layout_of
from recfunnel.data.ctr import Blocks

QUERIES = Blocks(num_candidates=10)


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return samples.write_criteo(tmp_path / "train.txt")


@pytest.mark.parametrize("min_count", [1, 4])
def test_rows_are_encoded_as_a_slow_reading_does(log_file: Path, min_count: int) -> None:
    rows = samples.criteo_rows(400)
    dataset = Criteo(path=str(log_file), queries=QUERIES, min_count=min_count).prepare(seed=0)
    train = rows[:320]
    for column in range(26):
        counts = Counter(row[14 + column] for row in train)
        missing = counts.pop("", 0)
        known = sorted((v for v in counts if counts[v] >= min_count), key=lambda v: (-counts[v], v))
        ids = {value: number for number, value in enumerate(known, start=1)}
        if missing >= min_count:
            ids[""] = len(known) + 1
        expected = [ids.get(row[14 + column], 0) for row in rows]
        assert dataset.items.categorical[:, column].tolist() == expected
    for column in range(13):
        numbers = [row[1 + column] for row in rows]
        logs = [log(1 + max(int(n), 0)) if n else 0.0 for n in numbers]
        assert np.allclose(dataset.items.dense[:, column], logs, atol=1e-6)
    assert dataset.train.label.tolist() == [float(row[0]) for row in train]


def test_below_zero_counts_as_zero_and_missing_too(tmp_path: Path) -> None:
    rows = samples.criteo_rows(40)
    rows[0][1:4] = ["-2", "", "0"]
    path = samples.write_text(tmp_path / "t.txt", ["\t".join(row) for row in rows])
    dataset = Criteo(path=str(path), queries=Blocks(num_candidates=4)).prepare(seed=0)
    assert dataset.items.dense[0, :3].tolist() == [0, 0, 0]


def test_gzip_csv_and_tsv_hold_the_same(log_file: Path, tmp_path: Path) -> None:
    rows = samples.criteo_rows(400)
    header = ["label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27))]
    comma = samples.write_text(tmp_path / "t.csv", [",".join(row) for row in [header, *rows]])
    packed = samples.write_criteo(tmp_path / "t.txt.gz")
    sets = [Criteo(path=str(p), queries=QUERIES).prepare(seed=0) for p in (log_file, comma, packed)]
    for other in sets[1:]:
        assert np.array_equal(sets[0].items.categorical, other.items.categorical)
        assert np.array_equal(sets[0].items.dense, other.items.dense)
        assert np.array_equal(sets[0].test.candidates, other.test.candidates)


def test_reading_in_small_blocks_changes_nothing(log_file: Path) -> None:
    layout = layout_of(log_file)
    whole = fit_vocabularies(log_file, layout, 300, 2)
    blocks = fit_vocabularies(log_file, layout, 300, 2, block_bytes=1000)
    for one, other in zip(whole, blocks, strict=True):
        assert one.table.equals(other.table)
        assert one.missing_id == other.missing_id
    starts = [start for start, _ in criteo_blocks(log_file, layout, 300, 1000)]
    heights = [block.height for _, block in criteo_blocks(log_file, layout, 300, 1000)]
    assert len(starts) > 20
    assert starts == [0, *np.cumsum(heights)[:-1]]
    assert sum(heights) == 300


def test_rows_kept_on_disk_are_the_same(log_file: Path, tmp_path: Path) -> None:
    spec = Criteo(path=str(log_file), queries=QUERIES)
    spilled = Criteo(path=str(log_file), queries=QUERIES, spill_folder=str(tmp_path / "spill"))
    one, other = spec.prepare(seed=0), spilled.prepare(seed=0)
    assert isinstance(other.items.categorical, np.memmap)
    assert np.array_equal(one.items.categorical, other.items.categorical)
    assert np.array_equal(one.items.dense, other.items.dense)


def test_max_rows_takes_the_first_rows(log_file: Path, tmp_path: Path) -> None:
    limited = Criteo(path=str(log_file), max_rows=200, queries=QUERIES).prepare(seed=0)
    short = samples.write_criteo(tmp_path / "short.txt", num_rows=200)
    whole = Criteo(path=str(short), queries=QUERIES).prepare(seed=0)
    assert np.array_equal(limited.items.categorical, whole.items.categorical)
    assert np.array_equal(limited.test.candidates, whole.test.candidates)


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        (0, "2", "line 7: label is 2, must be 0 or 1"),
        (0, "-1", "line 7: label is -1, must be 0 or 1"),
        (0, "yes", "line 7: label is 'yes', must be a whole number"),
        (0, "", "line 7: label is empty"),
        (3, "1.5", "line 7: I3 is '1.5', must be a whole number"),
        (3, "NaN", "line 7: I3 is 'NaN', must be a whole number"),
        (20, "xyz", "line 7: C7 is 'xyz', must be a hexadecimal number"),
        (39, "1\t2", "line 7: 41 fields, must be 40"),
    ],
)
def test_a_bad_row_is_named(log_file: Path, column: int, value: str, fault: str) -> None:
    rows = samples.criteo_rows(400)
    rows[6][column] = value
    samples.write_text(log_file, ["\t".join(row) for row in rows])
    with pytest.raises(DataError, match=fault):
        Criteo(path=str(log_file), queries=QUERIES).prepare(seed=0)


def test_a_row_cut_at_optional_fields_is_named(log_file: Path) -> None:
    lines = log_file.read_text().splitlines()
    lines[9] = lines[9].rpartition("\t")[0]
    samples.write_text(log_file, lines)
    with pytest.raises(DataError, match="line 10: 39 fields, must be 40"):
        Criteo(path=str(log_file), queries=QUERIES).prepare(seed=0)


def test_a_truncated_log_is_an_error(log_file: Path, tmp_path: Path) -> None:
    content = log_file.read_bytes()
    log_file.write_bytes(content[:-60])
    with pytest.raises(DataError, match=r"line 400: \d+ fields, must be 40"):
        Criteo(path=str(log_file), queries=QUERIES).prepare(seed=0)
    packed = tmp_path / "cut.txt.gz"
    packed.write_bytes(gzip.compress(content)[:-100])
    with pytest.raises(DataError, match="cut short"):
        Criteo(path=str(packed), queries=QUERIES).prepare(seed=0)


def test_another_header_is_refused(tmp_path: Path) -> None:
    path = samples.write_text(tmp_path / "t.csv", ["label,a,b", "0,1,2"])
    with pytest.raises(DataError, match="line 1: the header must read label,I1"):
        Criteo(path=str(path)).prepare(seed=0)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        Criteo(path=str(tmp_path / "no.txt")).prepare(seed=0)


def test_too_few_rows_for_a_query_says_what_fits(log_file: Path) -> None:
    with pytest.raises(
        DataError, match=r"criteo, validation split: .* 512 rows .* has 40; .*at most 40"
    ):
        Criteo(path=str(log_file)).prepare(seed=0)


def test_too_few_rows_for_a_split_is_an_error(tmp_path: Path) -> None:
    path = samples.write_criteo(tmp_path / "t.txt", num_rows=2)
    with pytest.raises(DataError, match="split"):
        Criteo(path=str(path), queries=Blocks(num_candidates=1)).prepare(seed=0)


def test_query_settings_are_parsed_strictly() -> None:
    with pytest.raises(StudyError, match="unknown field `num_candidate`"):
        convert({"kind": "criteo", "path": "x", "queries": {"num_candidate": 1}}, Criteo, name="d")


@pytest.mark.data
def test_the_real_log_has_its_known_figures(criteo_log: Path) -> None:
    dataset = Criteo(path=str(criteo_log), queries=Blocks(num_candidates=100)).prepare(seed=0)
    dataset.check()
    assert len(dataset.items) == 10_000
    label = np.zeros(10_000)
    label[dataset.train.item_rows] = dataset.train.label
    for queries in (dataset.validation, dataset.test):
        relevant = queries.relevance
        label[queries.candidates[relevant.row_ids(), relevant.values]] = 1
    assert label.mean() == pytest.approx(0.218, abs=0.001)
    dense = dataset.items.dense
    assert np.exp(dense[:, 4].max()) - 1 == pytest.approx(1_618_112, rel=1e-5)
    assert np.mean(dense[:, 11] == 0) > 0.77


@pytest.mark.data
def test_the_real_csv_sample_is_read(criteo_csv: Path) -> None:
    dataset = Criteo(path=str(criteo_csv), queries=Blocks(num_candidates=10)).prepare(seed=0)
    dataset.check()
    assert len(dataset.items) == 200
