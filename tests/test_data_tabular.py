"""Own tables: described in TOML, read strictly, every fault named."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import data_samples as samples
from recfunnel.core.dataset import Dataset
from recfunnel.core.errors import DataError
from recfunnel.data.ctr import Blocks
from recfunnel.data.tabular import Tabular


def prepare(description: Path, **settings: object) -> Dataset:
    return Tabular(path=str(description), **settings).prepare(seed=0)


def plays(folder: Path) -> list[dict[str, str]]:
    lines = (folder / "plays.csv").read_text().splitlines()
    return [dict(zip(lines[0].split(","), row.split(","), strict=True)) for row in lines[1:]]


def test_every_item_of_the_item_table_is_ranked(tmp_path: Path) -> None:
    dataset = prepare(samples.write_plays(tmp_path))
    assert len(dataset.items) == 45
    assert dataset.test.num_columns == 45
    assert dataset.provenance.licence == "our own"
    assert set(dataset.provenance.sha256) == {"plays.toml", "plays.csv", "songs.parquet"}


def test_ratings_become_labels_at_the_described_minimum(tmp_path: Path) -> None:
    dataset = prepare(samples.write_plays(tmp_path))
    assert np.array_equal(dataset.train.label, (dataset.train.rating >= 3).astype(np.float32))


def test_features_follow_their_table(tmp_path: Path) -> None:
    dataset = prepare(samples.write_plays(tmp_path))
    rows = plays(tmp_path)
    songs = sorted(f"s{n}" for n in range(45))
    styles = dataset.items.multi_valued[0]
    for row, song in enumerate(songs):
        assert styles.row(row).size == int(song[1:]) % 3
    users = sorted({row["who"] for row in rows})
    country = {row["who"]: row["country"] for row in rows}
    found = dataset.context.categorical[:, dataset.schema.column("country")]
    ids = {country[user]: int(found[n]) for n, user in enumerate(users)}
    assert sorted(ids.values()) == [1, 2, 3]
    assert all(found[n] == ids[country[user]] for n, user in enumerate(users))


def test_a_fill_value_stands_for_what_is_missing(tmp_path: Path) -> None:
    dataset = prepare(samples.write_plays(tmp_path))
    ages = dataset.context.dense[:, dataset.schema.column("age")]
    users = sorted(f"u{n}" for n in range(25))
    raw = np.array([30.0 if u == "u3" else 20.0 + int(u[1:]) for u in users])
    assert np.allclose(ages, (raw - raw.mean()) / raw.std(), atol=1e-5)


def test_a_value_first_seen_after_training_is_unknown(tmp_path: Path) -> None:
    """By time, the last tenth of the queries shows a device that training never saw."""
    lines = ["search\tclicked\tdevice\tshop\tprice"]
    for search in range(50):
        device = "watch" if search >= 45 else "phone"
        lines += [f"{search:02d}\t{n % 2}\t{device}\t{n}\t1.5" for n in range(3)]
    path = samples.write_clicks(tmp_path)
    samples.write_text(tmp_path / "clicks.tsv.gz", lines)
    dataset = prepare(path, split="order")
    assert set(dataset.test.context.categorical[:, 0].tolist()) == {0}
    assert set(dataset.validation.context.categorical[:, 0].tolist()) == {1}


def test_rows_of_a_query_are_its_candidates(tmp_path: Path) -> None:
    path = samples.write_clicks(tmp_path)
    dataset = prepare(path)
    table = pl.read_csv(tmp_path / "clicks.tsv.gz", separator="\t")
    sizes = table.group_by("search").len().sort("search")["len"].to_list()
    ranked = []
    for queries in (dataset.validation, dataset.test):
        for query in range(len(queries)):
            columns = np.flatnonzero(queries.allowed(query))
            rows = queries.item_rows(query, columns)
            assert table["search"].gather(rows).n_unique() == 1
            clicked = set(np.flatnonzero(table["clicked"].gather(rows).to_numpy()).tolist())
            assert set(queries.relevance.row(query).tolist()) == clicked
            ranked.append(rows.size)
    assert len(ranked) + len(np.unique(dataset.train.context_rows)) == len(sizes)
    assert sum(ranked) + len(dataset.train) == sum(sizes)


def test_the_longest_query_of_either_split_decides_how_many_columns_both_have(
    tmp_path: Path,
) -> None:
    lines = ["search\tclicked\tdevice\tshop\tprice"]
    for search in range(50):
        lines += [f"{search:02d}\t{n % 2}\tphone\t{n}\t1.5" for n in range(2 + search)]
    path = samples.write_clicks(tmp_path)
    samples.write_text(tmp_path / "clicks.tsv.gz", lines)
    dataset = prepare(path, split="order")
    dataset.check()
    assert dataset.validation.num_columns == dataset.test.num_columns == 51
    assert dataset.validation.allowed(4).sum() == 46


def test_training_rows_know_their_query(tmp_path: Path) -> None:
    dataset = prepare(samples.write_clicks(tmp_path))
    table = pl.read_csv(tmp_path / "clicks.tsv.gz", separator="\t")
    searches = sorted(table["search"].unique().to_list())
    for context, item, label in zip(
        dataset.train.context_rows, dataset.train.item_rows, dataset.train.label, strict=True
    ):
        assert table["search"][int(item)] == searches[context]
        assert table["clicked"][int(item)] == label


def test_quoted_fields_may_hold_separators(tmp_path: Path) -> None:
    path = samples.write_plays(tmp_path)
    csv = tmp_path / "plays.csv"
    csv.write_text(csv.read_text().replace(",x,", ',"x, y",'))
    prepare(path).check()


def test_parquet_and_csv_give_the_same_data(tmp_path: Path) -> None:
    path = samples.write_plays(tmp_path)
    from_text = prepare(path)
    pl.read_csv(tmp_path / "plays.csv").write_parquet(tmp_path / "plays.parquet")
    path.write_text(path.read_text().replace("plays.csv", "plays.parquet"))
    from_parquet = prepare(path)
    assert np.array_equal(from_text.train.item_rows, from_parquet.train.item_rows)
    assert np.array_equal(from_text.context.categorical, from_parquet.context.categorical)
    assert np.allclose(from_text.context.dense, from_parquet.context.dense)


def edited(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('user = "who"', 'usr = "who"', "unknown field `usr`"),
        ('user = "who"', 'user = "whom"', "has no column 'whom'; did you mean 'who'"),
        ('user = "who"', "", "task 'implicit' needs the name of the user column"),
        ('user = "who"', 'user = "who"\nquery = "song"', "task 'implicit' has no use for query"),
        ('task = "implicit"', 'task = "ctr"', "task 'ctr' needs the name of the label column"),
        ("min_rating = 3", "", "rating and min_rating go together"),
        ("min_rating = 3", "min_rating = 9", r"none of \d+ held-out ratings is at least 9"),
        ('name = "styles"', 'name = "length_s"', "feature 'length_s' is described twice"),
        ('kind = "multi_valued"', 'kind = "categorical"', "holds lists; describe it as multi"),
        ("fill = 30", "", r"plays.csv, line \d+: age is missing .* give its description a fill"),
        ('file = "plays.csv"', 'file = "gone.csv"', "gone.csv does not exist"),
        ('items_file = "songs.parquet"', 'items_file = "x.parquet"', "x.parquet does not exist"),
        ('task = "implicit"', 'task = "implicit', "is not TOML"),
        ("fill = 30", "fill = 30\nmin_count = 0", "min_count must be at least 1"),
    ],
)
def test_a_wrong_description_is_named(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = edited(samples.write_plays(tmp_path), old, new)
    with pytest.raises(DataError, match=fault):
        prepare(path)


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("stars", "many", "plays.csv, line 6: stars is 'many', must be a finite number"),
        ("stars", "nan", "plays.csv, line 6: stars is 'nan', must be a finite number"),
        ("stars", "", "plays.csv, line 6: stars is missing"),
        ("age", "inf", "age is 'inf'|age differs between rows of user 'u0'"),
        ("who", "", "plays.csv, line 6: who is empty; every row needs one"),
        ("country", "q", "country differs between rows of user 'u0'"),
        ("age", "7,7", "plays.csv, line 6: 7 fields, the header has 6"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, column: str, value: str, fault: str) -> None:
    path = samples.write_plays(tmp_path)
    rows = plays(tmp_path)
    rows[4][column] = value
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    samples.write_text(tmp_path / "plays.csv", lines)
    with pytest.raises(DataError, match=fault):
        prepare(path)


def test_an_item_listed_twice_is_an_error(tmp_path: Path) -> None:
    path = samples.write_plays(tmp_path)
    songs = pl.read_parquet(tmp_path / "songs.parquet")
    pl.concat([songs, songs.head(1)]).write_parquet(tmp_path / "songs.parquet")
    with pytest.raises(
        DataError, match=r"songs.parquet, row 1: song 's0' is listed more than once"
    ):
        prepare(path)


def test_an_item_without_a_row_of_its_own_needs_a_fill(tmp_path: Path) -> None:
    path = samples.write_plays(tmp_path)
    pl.read_parquet(tmp_path / "songs.parquet").head(20).write_parquet(tmp_path / "songs.parquet")
    with pytest.raises(DataError, match="does not list every id of the interactions: length_s is"):
        prepare(path)


@pytest.mark.parametrize("value", ["2", "-1", "0.5"])
def test_a_label_outside_0_and_1_is_an_error(tmp_path: Path, value: str) -> None:
    path = samples.write_clicks(tmp_path)
    lines = ["search\tclicked\tdevice\tshop\tprice", "a\t1\tx\t1\t1", f"a\t{value}\tx\t1\t1"]
    samples.write_text(tmp_path / "clicks.tsv.gz", lines)
    with pytest.raises(DataError, match=f"line 3: clicked is {value}, must be 0 or 1"):
        prepare(path)


def test_a_context_feature_without_queries_is_an_error(tmp_path: Path) -> None:
    flat = samples.CLICKS_TOML.replace('query = "search"\n', "")
    with pytest.raises(DataError, match="'device' is of the context, but without a query column"):
        prepare(samples.write_clicks(tmp_path, flat))


def test_too_few_queries_leave_a_split_empty(tmp_path: Path) -> None:
    path = samples.write_clicks(tmp_path)
    samples.write_text(
        tmp_path / "clicks.tsv.gz", ["search\tclicked\tdevice\tshop\tprice", "a\t1\tx\t1\t1"]
    )
    with pytest.raises(DataError, match="clicks: a split has none of 1 queries"):
        prepare(path)


def test_a_split_by_time_needs_a_time(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name the timestamp column"):
        prepare(samples.write_clicks(tmp_path), split="time")


def test_a_table_without_rows_is_an_error(tmp_path: Path) -> None:
    path = samples.write_clicks(tmp_path)
    samples.write_text(tmp_path / "clicks.tsv.gz", ["search\tclicked\tdevice\tshop\tprice"])
    with pytest.raises(DataError, match="has no rows"):
        prepare(path)


def test_a_file_that_is_not_parquet_is_an_error(tmp_path: Path) -> None:
    path = samples.write_plays(tmp_path)
    (tmp_path / "songs.parquet").write_text("song,styles\n")
    with pytest.raises(DataError, match=r"songs.parquet is not a sound Parquet file"):
        prepare(path)


@pytest.mark.data
def test_bookcrossing_is_read_without_python(bookcrossing: Path, tmp_path: Path) -> None:
    for name in ("book_history.dat.gz", "users_info.dat"):
        (tmp_path / name).symlink_to(bookcrossing / name)
    (tmp_path / "books.toml").write_text(
        'task = "implicit"\nfile = "book_history.dat.gz"\nseparator = "\\t"\n'
        'user = "user"\nitem = "item"\nlicence = "Ziegler et al., WWW 2005"\n'
    )
    dataset = prepare(tmp_path / "books.toml")
    dataset.check()
    log = pl.read_csv(bookcrossing / "book_history.dat.gz", separator="\t")
    assert log.height == 272_678
    assert len(dataset.items) == log["item"].n_unique()
    assert len(dataset.context) == log["user"].n_unique()
    blocks = Blocks(num_candidates=5)
    assert prepare(tmp_path / "books.toml", queries=blocks).task == "implicit"
