"""The zoo keeps what is finished, orders what depends, and says what went wrong."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from recfunnel.core.errors import ModelError, StorageError, StudyError
from recfunnel.core.progress import Progress
from recfunnel.core.spec import Spec
from recfunnel.models.base import ModelSpec
from recfunnel.models.checkpoint import load_checkpoint
from recfunnel.models.reranker import Reranker
from recfunnel.testing.training import small_dataset
from recfunnel.train.attempt import FILE, Standing, load_attempt, save_attempt
from recfunnel.train.base import ModelEntry
from recfunnel.train.bce import BCE
from recfunnel.train.epochs import Course, Patience
from recfunnel.train.fold_lists import Folding
from recfunnel.train.listwise import Listwise
from recfunnel.train.optimisers import Descent, Mover
from recfunnel.train.validation import Chance
from recfunnel.train.zoo import fit_model, fitting_order
from train_samples import FAST, SMALL_NEUMF, ZOO, K


class _Lines(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)


def _fit(name: str, folder: Path, entries=ZOO, seed: int = 1, **changes) -> Path:  # type: ignore[no-untyped-def]
    return fit_model(
        name,
        entries,
        changes.pop("dataset", small_dataset()),
        folder / "models",
        folder / "work",
        seed=seed,
        **changes,
    )


def test_a_finished_model_is_kept_and_says_so(tmp_path: Path) -> None:
    _fit("als", tmp_path)
    listener = _Lines()
    before = (tmp_path / "models" / "als" / "manifest.json").stat().st_mtime_ns

    _fit("als", tmp_path, progress=listener)

    assert (tmp_path / "models" / "als" / "manifest.json").stat().st_mtime_ns == before
    assert listener.lines == ["als: already trained, kept"]


@pytest.mark.parametrize("what", ["seed", "training", "data"])
def test_anything_a_fit_depends_on_makes_it_fit_again(tmp_path: Path, what: str) -> None:
    before = load_checkpoint(_fit("als", tmp_path)).module.state_dict()
    entry, dataset = ZOO["als"], small_dataset()
    if what == "training":
        changed = msgspec.structs.replace(entry.training, alpha=5.0)
        entry = msgspec.structs.replace(entry, training=changed)
    if what == "data":
        dataset = replace(dataset, train=dataset.train.take(np.arange(len(dataset.train) - 1)))
    folder = _fit("als", tmp_path, {"als": entry}, seed=2 if what == "seed" else 1, dataset=dataset)

    after = load_checkpoint(folder).module.state_dict()
    assert not torch.equal(before["item_factors"], after["item_factors"])


def test_no_unfinished_work_is_left_behind(tmp_path: Path) -> None:
    _fit("neumf", tmp_path)
    assert list((tmp_path / "work").iterdir()) == []


def test_fitting_leaves_torchs_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    _fit("neumf", tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_inputs_and_teachers_come_first() -> None:
    order = fitting_order(("student", "reranker"), ZOO)
    assert order == ("ease", "student", "als", "reranker")


def test_a_circle_is_named() -> None:
    a, b = (msgspec.structs.replace(ZOO["reranker"], score_inputs=(n,)) for n in "ba")
    with pytest.raises(StudyError, match="circle: a → b → a"):
        fitting_order(("a",), {"a": a, "b": b})
    with pytest.raises(StudyError, match="no model 'als'; known: reranker"):
        fitting_order(("reranker",), {"reranker": ZOO["reranker"]})


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="'reranker' needs the scores of 'als'"):
        _fit("reranker", tmp_path)


def test_a_diverging_fit_names_epoch_and_remedy(tmp_path: Path) -> None:
    training = BCE(descent=Descent(learning_rate=1e30), k=K)
    entry = ModelEntry(model=SMALL_NEUMF, training=training)
    with pytest.raises(ModelError, match=r"loss of 'wild' is (nan|inf).* lower its learning rate"):
        _fit("wild", tmp_path, {"wild": entry})


class Blind(Spec, ModelSpec, frozen=True, tag="blind_in_tests"):
    """Scores that say nothing and can be moved nowhere useful."""

    def build(self, schema, num_score_inputs=0):  # type: ignore[no-untyped-def]
        return _BlindNetwork()

    def cost(self, schema, num_score_inputs=0):  # type: ignore[no-untyped-def]
        raise AssertionError("never stored")


class _BlindNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, context, items, columns=None, given=None):  # type: ignore[no-untyped-def]
        num_columns = len(items) if columns is None else columns.shape[1]
        # Pseudo-random in the context, the same for all items: ranks by column number alone.
        wobble = torch.sin(torch.arange(num_columns) * 12.9898) * 43758.5
        return self.bias + (wobble - wobble.floor()).expand(len(context), -1)


def test_a_network_that_learns_nothing_is_an_error(tmp_path: Path) -> None:
    entry = ModelEntry(model=Blind(), training=BCE(descent=FAST, k=K))
    with pytest.raises(ModelError, match="'blind' learned nothing: validation ndcg@20"):
        _fit("blind", tmp_path, {"blind": entry})


def test_listwise_needs_inputs_and_bce_refuses_them(tmp_path: Path) -> None:
    alone = msgspec.structs.replace(ZOO["reranker"], score_inputs=())
    with pytest.raises(StudyError, match="it has 0 score inputs"):
        _fit("alone", tmp_path, {"alone": msgspec.structs.replace(alone, model=SMALL_NEUMF)})
    for needed in ("als", "ease"):
        _fit(needed, tmp_path)
    wrong = msgspec.structs.replace(ZOO["reranker"], training=BCE())
    with pytest.raises(StudyError, match="train it with 'listwise'"):
        _fit("wrong", tmp_path, {**ZOO, "wrong": wrong})


def test_item_factors_need_a_factorisation_of_that_length(tmp_path: Path) -> None:
    for needed in ("als", "ease"):
        _fit(needed, tmp_path)
    training = Listwise(folding=Folding(num_folds=4, num_fitted=1, list_size=30), k=K)
    for factor_dim, inputs, message in (
        (5, ("als", "ease"), "set factor_dim to that"),
        (8, ("ease",), "set factor_dim = 0"),
    ):
        model = Reranker(embedding_dim=4, hidden=(4,), factor_dim=factor_dim)
        entry = ModelEntry(model=model, training=training, score_inputs=inputs)
        with pytest.raises(StudyError, match=message):
            _fit("picky", tmp_path, {**ZOO, "picky": entry})


def test_several_seeds_keep_the_best_and_report_all(tmp_path: Path) -> None:
    report = load_checkpoint(_fit("several", tmp_path)).manifest["report"]
    (spread,) = [note for note in report["notes"] if "of 2 seeds" in note]
    values = [float(v) for v in spread.split(": ")[1].split(";")[0].split(", ")]

    assert len(values) == 2
    assert report["history"][report["best_epoch"]] == pytest.approx(max(values), abs=1e-4)


def _unseen(scores: np.ndarray) -> np.ndarray:
    train = small_dataset().train
    scores[train.context_rows, train.item_rows] = -np.inf
    return scores


def test_a_student_comes_closer_to_its_teacher_than_popularity_does(tmp_path: Path) -> None:
    from recfunnel.train.input_scores import Zoo
    from recfunnel.train.validation import top_columns

    patience = Patience(max_epochs=12, epochs=12)
    training = msgspec.structs.replace(ZOO["student"].training, patience=patience)
    student = msgspec.structs.replace(ZOO["student"], training=training)
    for name in ("popularity", "ease", "student"):
        _fit(name, tmp_path, {**ZOO, "student": student})
    zoo, dataset = Zoo(tmp_path / "models"), small_dataset()
    tops = {
        name: top_columns(_unseen(zoo.score(name, dataset.context, dataset.items, None)), 20)
        for name in ("popularity", "ease", "student")
    }
    shared = {
        name: np.mean([np.isin(a, b).mean() for a, b in zip(tops[name], tops["ease"], strict=True)])
        for name in ("popularity", "student")
    }
    assert shared["student"] > shared["popularity"]


def test_a_damaged_attempt_is_an_error_and_a_missing_one_a_fresh_start(tmp_path: Path) -> None:
    module = nn.Linear(2, 1)
    mover = Mover(module, FAST, 10)
    assert load_attempt(tmp_path, module, mover)[0] == Standing()
    mover.step(module(torch.ones(1, 2)).sum())
    save_attempt(tmp_path, module, mover, dict(module.state_dict()), Standing().after(1, 0.5, 2.0))

    again = Mover(nn.Linear(2, 1), FAST, 10)
    standing, best = load_attempt(tmp_path, nn.Linear(2, 1), again)
    assert standing.history == (0.5,)
    assert again.num_taken == 1
    assert torch.equal(best["weight"], module.weight)

    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:100])
    with pytest.raises(StorageError, match="delete it and run again"):
        load_attempt(tmp_path, module, mover)


def test_an_epoch_of_little_data_is_several_passes() -> None:
    course = Course(
        num_steps=3,
        losses=lambda rng: (torch.tensor(float(rng.integers(100))) for _ in range(3)),
        validate=lambda: 0.5,
        chance=Chance("ndcg@20", 0.1, 0.01),
        pairs_per_step=1.0,
    )
    longer = course.with_steps(7)
    losses = [float(loss) for loss in longer.losses(np.random.default_rng(0))]
    assert longer.num_steps == len(losses) == 9
    assert len(set(losses)) > 3  # each pass draws anew
    assert course.with_steps(3) is course
    with pytest.raises(StudyError, match="min_steps is 0, must be at least 1"):
        Patience(min_steps=0)


def test_patience_that_asks_for_no_steps_is_stored_as_before() -> None:
    assert "min_steps" not in msgspec.to_builtins(Patience())
    assert msgspec.to_builtins(Patience(min_steps=5))["min_steps"] == 5


def test_the_clock_stops_a_fit_and_the_report_says_so(tmp_path: Path) -> None:
    patience = Patience(max_epochs=50, max_seconds=1e-6)
    training = BCE(descent=FAST, patience=patience, batch_queries=8, k=K)
    folder = _fit("short", tmp_path, {"short": ModelEntry(model=SMALL_NEUMF, training=training)})
    report = load_checkpoint(folder).manifest["report"]
    assert len(report["history"]) == 1
    assert any("stopped by the clock" in note for note in report["notes"])


def test_relevance_of_validation_changes_the_choice_but_never_the_path(tmp_path: Path) -> None:
    """Validation decides which epoch is kept; what an epoch does is its own affair."""
    dataset = small_dataset()
    queries = dataset.validation
    other = replace(dataset, validation=queries.take(np.arange(len(queries) // 2)))
    losses = []
    for number, data in enumerate((dataset, other)):
        listener = _Lines()
        _fit("neumf", tmp_path / str(number), dataset=data, progress=listener)
        losses.append([line.split("loss ")[1].split(",")[0] for line in listener.lines])
    assert losses[0] == losses[1]
