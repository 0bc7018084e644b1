"""Lists answered for real are judged like those composed from stored scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality_cases import query_set, random_pipeline, random_queries, random_tables
from recfunnel.core.errors import InvalidInput
from recfunnel.quality.answers import NO_COLUMN, ranks_in_answers
from recfunnel.quality.book import ScoreBook
from recfunnel.quality.judged import judge
from recfunnel.quality.step_by_step import rank_step_by_step


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_answers_of_a_pipeline_have_the_ranks_of_the_pipeline(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = random_queries(rng, 6, 30)
    tables = random_tables(rng, queries, "abc", 2)
    book = ScoreBook(queries, tables.values(), 30)
    pipeline = random_pipeline(rng, 30, "abc")
    answers = np.full((book.num_judged, 30), NO_COLUMN)
    for row, query in enumerate(book.judged.queries):
        answer = rank_step_by_step(pipeline, tables, queries, int(query))
        answers[row, : answer.size] = answer

    np.testing.assert_array_equal(ranks_in_answers(book.judged, answers), book.ranks(pipeline))


def test_nothing_answered_is_nothing_found() -> None:
    judged = judge(query_set([{0: 1.0, 1: 1.0}], 4))

    assert ranks_in_answers(judged, np.full((1, 3), NO_COLUMN)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (np.zeros((2, 1), np.int64), r"shape \(2, 1\) for 1 judged"),
        (np.array([[4]]), "names column 4"),
        (np.array([[2, 2]]), "holds a column twice"),
    ],
)
def test_impossible_answers_are_refused(answers: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ranks_in_answers(judge(query_set([{0: 1.0}], 4)), answers)
