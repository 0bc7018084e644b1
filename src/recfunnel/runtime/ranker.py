"""Answers single queries as a server does, and tells what each stage took."""

from typing import Any

from recfunnel.runtime.cascade import Cascade, OneByOne, Question, Ranking
from recfunnel.runtime.runner import quickest


class Ranker:
    """A cascade, all of it in one native call where every model can.

    Args:
        cascade: with its models loaded.

    Attributes:
        in_one_call: whether nothing returns to Python between its stages.
    """

    def __init__(self, cascade: Cascade) -> None:
        self._cascade = cascade
        stages = OneByOne(cascade, range(len(cascade.pipeline.stages)))
        self._runner: Any = quickest(stages)
        self.in_one_call = self._runner is not stages

    def rank(self, question: Question) -> Ranking:
        """Answer one query.

        Returns:
            The answer, and the seconds of each stage; those of sub-batches that ran at the same
            time are added up.

        Raises:
            StudyError: the query has fewer candidates than the first stage reads.
            DataError: an id of the context outside its table.
            ModelError: a score that is not finite.
        """
        if not self.in_one_call:
            return self._cascade.rank(question)
        left = self._runner.run(question, None)
        last = self._cascade.pipeline.models[-1]
        return Ranking(left.columns, left.scores[last], self._runner.stage_s)
