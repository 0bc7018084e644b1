"""AUC, log-loss and accuracy against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from quality_cases import query_set
from recfunnel.core.errors import InvalidInput
from recfunnel.core.model import ScoreTable
from recfunnel.quality.probability import auc, is_right, log_losses, probability_report


@given(seed=st.integers(0, 2**32 - 1), num_levels=st.sampled_from([2, 5, 1000]))
@settings(max_examples=50, deadline=None)
def test_auc_equals_scikit_learn_ties_included(seed: int, num_levels: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.random(60) < 0.3
    labels[:2] = True, False
    scores = rng.integers(0, num_levels, 60).astype(np.float32)

    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)


def test_log_loss_equals_scikit_learn_and_survives_huge_logits() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=500), rng.random(500) < 0.3
    expected = log_loss(labels, 1 / (1 + np.exp(-logits)))

    assert log_losses(logits, labels).mean() == pytest.approx(expected, rel=1e-12)
    huge = log_losses(np.array([1e4, -1e4, 1e4]), np.array([True, True, False]))
    assert huge.tolist() == [0.0, 1e4, 1e4]


def test_equal_scores_are_worth_half_and_a_coin_log_2() -> None:
    labels = np.array([True, False, True])

    assert auc(np.zeros(3), labels) == 0.5
    assert log_losses(np.zeros(3), labels).mean() == pytest.approx(math.log(2))
    assert is_right(np.zeros(3), labels).tolist() == [0, 1, 0]


def test_auc_needs_both_labels() -> None:
    with pytest.raises(InvalidInput, match="got 2 positive, 0 negative"):
        auc(np.zeros(2), np.ones(2, np.bool_))


def test_a_report_reads_every_candidate_but_the_excluded() -> None:
    queries = query_set([{0: 1.0}, {1: 3.0, 2: 0.0}], 3, [[2], []])
    table = ScoreTable("a", np.array([[2, -1, 9], [-3, 1, -0.5]], np.float32))

    report = probability_report(queries, table)

    assert (report.num_rows, report.click_rate) == (5, 0.4)
    assert report.auc == 1.0
    assert report.accuracy.mean == 1.0
    expected = np.log1p(np.exp([-2.0, -1.0, -3.0, -1.0, -0.5])).mean()
    assert report.log_loss.mean == pytest.approx(expected, rel=1e-12)


def test_a_table_of_other_queries_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'a' have shape \(2, 3\), the queries \(1, 3\)"):
        probability_report(query_set([{0: 1.0}], 3), ScoreTable("a", np.ones((2, 3), np.float32)))
