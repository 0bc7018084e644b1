"""A study can be a recipe, a file, a data folder, or a stored one; every misspelling is caught."""

from pathlib import Path

import pytest

from recfunnel.core.errors import DataError, StudyError
from recfunnel.recipes.catalogue import recipe, recipe_names
from recfunnel.study.choose import choose_study
from recfunnel.study.parse import (
    apply_changes,
    merge,
    read_toml,
    study_from_dict,
    study_to_dict,
    write_study,
)
from recfunnel.study.study import Study

DESCRIPTION = """
task = "implicit"
file = "events.csv"
user = "user"
item = "item"
"""


def choose(named: str | None = None, **given: object) -> Study:
    arguments = {"data": None, "changes": {}, "settings": (), "stored": None, **given}
    return choose_study(named, recipe=recipe, **arguments)  # type: ignore[arg-type]


def data_for(name: str, folder: Path) -> Path | None:
    """Something each recipe accepts before it reads the data itself."""
    if name != "tabular":
        return None if name == "quick" else folder
    (folder / "mine.toml").write_text(DESCRIPTION)
    return folder / "mine.toml"


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_survives_being_written_and_read(name: str, tmp_path: Path) -> None:
    study = recipe(name, data_for(name, tmp_path))
    write_study(tmp_path / "study.toml", study)
    assert study_from_dict(read_toml(tmp_path / "study.toml")) == study


def test_without_a_name_the_quick_recipe_is_meant() -> None:
    assert choose() == recipe("quick")


def test_a_run_folders_own_study_is_meant_when_there_is_one(tmp_path: Path) -> None:
    changed = choose(settings=("seed=7",))
    write_study(tmp_path / "study.toml", changed)
    assert choose(stored=tmp_path / "study.toml") == changed
    assert choose("quick", stored=tmp_path / "study.toml").seed == 0


def test_a_data_folder_finds_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat.gz").touch()
    assert choose(str(tmp_path)) == recipe("movielens", tmp_path)
    with pytest.raises(StudyError, match="two data folders"):
        choose(str(tmp_path), data=tmp_path)


def test_a_description_of_tables_finds_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(DESCRIPTION)
    assert choose(data=tmp_path / "mine.toml") == recipe("tabular", tmp_path / "mine.toml")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set that is known"):
        choose(str(tmp_path))


def test_settings_change_any_key() -> None:
    study = choose(settings=("target.rate_qps=50", "name='other'", "space.keep_counts=[64]"))
    assert (study.target.rate_qps, study.name) == (50, "other")
    assert study.space.keep_counts == (64,)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("target.rate_pqs=50", "did you mean 'rate_qps'"),
        ("sede=1", "did you mean 'seed'"),
        ("dataset.num_user=5", "did you mean 'num_users'"),
        ("dataset.kind='synthetik'", "did you mean 'synthetic'"),
        ("models.als.training.alhpa=1", "did you mean 'alpha'"),
        ("models.als.score_inputs=['none']", "no model 'none'"),
        ("target.rate_qps=0", "must be above 0"),
        ("target.rate_qps=-3", "must be above 0"),
        ("target.deadline_s=0", "must be above 0"),
        ("space.keep_counts=[8]", "below the 64 items"),
        ("space.max_stages=9", "must be 1 to 4"),
        ("no_equals_sign", "needs KEY=VALUE"),
        ("seed.deep=1", "'seed' is no table"),
        ("seed='x'", "Expected `int`"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        study = choose(settings=(setting,))
        study.workload()


def test_models_cannot_read_each_other_in_a_circle() -> None:
    plain = study_to_dict(recipe("quick"))
    plain["models"]["als"]["score_inputs"] = ["reranker"]
    with pytest.raises(StudyError, match="circle"):
        study_from_dict(plain)


def test_an_unknown_recipe_lists_what_there_is() -> None:
    with pytest.raises(StudyError, match=r"no recipe 'quik'; known: .*did you mean 'quick'"):
        choose("quik")


def test_a_toml_file_changes_the_recipe_it_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('recipe = "quick"\nseed = 3\n[target]\nrate_qps = 9.0\n')
    study = choose(str(file))
    assert (study.seed, study.target.rate_qps) == (3, 9.0)
    assert study.models == recipe("quick").models


def test_a_broken_toml_file_says_where(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("seed = \n")
    with pytest.raises(StudyError, match="line 1"):
        choose(str(tmp_path / "mine.toml"))
    with pytest.raises(StudyError, match="does not exist"):
        choose(str(tmp_path / "nowhere.toml"))


def test_a_python_file_defines_a_study(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from recfunnel.recipes.quick import study as quick\nstudy = quick()\n")
    assert choose(str(file)) == recipe("quick")
    file.write_text("study = 3\n")
    with pytest.raises(StudyError, match="found int"):
        choose(str(file))


def test_another_kind_replaces_a_table_whole() -> None:
    base = {"d": {"kind": "a", "x": 1}, "t": {"p": 1, "q": 2}}
    assert merge(base, {"d": {"kind": "b", "y": 2}, "t": {"q": 3}}) == {
        "d": {"kind": "b", "y": 2},
        "t": {"p": 1, "q": 3},
    }
    assert apply_changes(base, ["t.p=5"])["t"] == {"p": 5, "q": 2}
    assert base["t"] == {"p": 1, "q": 2}
