"""Popularity on MovieLens-1M scores what independent measurements of it say."""

from pathlib import Path

import numpy as np
import pytest

from recfunnel.core.dataset import Dataset
from recfunnel.core.model import ScoreTable
from recfunnel.core.pipeline import pipeline_of
from recfunnel.data.movielens import MovieLens
from recfunnel.quality.book import ListMetrics, ScoreBook

pytestmark = [pytest.mark.data, pytest.mark.slow]


def popularity(dataset: Dataset, k: int) -> ListMetrics:
    """How ranking by number of training ratings does on the test queries."""
    queries = dataset.test
    count = np.bincount(dataset.train.item_rows, minlength=len(dataset.items)).astype(np.float32)
    candidates = queries.candidates
    scores = np.tile(count, (len(queries), 1)) if candidates is None else count[candidates]
    book = ScoreBook(queries, [ScoreTable("popularity", scores)], k)
    return book.list_metrics(pipeline_of(("popularity",), (queries.num_columns, k)))


def test_full_catalogue_ranking_agrees_with_another_split_of_the_same_ratings(ml_1m: Path) -> None:
    found = popularity(MovieLens(path=str(ml_1m)).prepare(seed=0), 64)

    # 0.171 was measured elsewhere on another random 80/10/10 split: two independent draws, each
    # with the standard error below; 4 of their difference.
    slack = 4 * 2**0.5 * found.ndcg_linear.stderr
    assert found.ndcg_linear.mean == pytest.approx(0.171, abs=slack)
    assert found.ndcg_linear.stderr < 0.003


def test_the_leave_one_out_protocol_gives_the_known_hit_rate_and_ndcg(ml_1m: Path) -> None:
    dataset = MovieLens(path=str(ml_1m), split="leave_one_out").prepare(seed=0)
    found = popularity(dataset, 10)

    # 0.4538 and 0.2543 were computed on the same files with all training ratings; validation
    # leaves out one a user, which moves the counts by 0.6 % and the metrics by less than 0.001.
    assert found.hit_rate.mean == pytest.approx(0.4538, abs=0.001)
    assert found.ndcg_linear.mean == pytest.approx(0.2543, abs=0.001)
