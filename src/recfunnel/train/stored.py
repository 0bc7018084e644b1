"""Keeping a model that a user brings as a file."""

import time

from torch import nn

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Spec
from recfunnel.models.own_file import FileNetwork
from recfunnel.train.base import FitReport, TrainingSpec, TrainingTask, trainings
from recfunnel.train.input_scores import Zoo
from recfunnel.train.judging import Judge, cascade_judge, clicks_judge, ranking_judge


@trainings.register
class Stored(Spec, TrainingSpec, frozen=True, tag="stored"):
    """No fitting: the file is kept as it is, and judged on validation queries.

    Args:
        k: list length of the validation NDCG.
        list_size: items the first score input keeps, where the file reads scores.
        num_validation_queries: how many it is judged on at most.
    """

    k: int = 64
    list_size: int = 256
    num_validation_queries: int = 2000

    def fit(self, model: nn.Module, task: TrainingTask) -> FitReport:
        """Judge the file on validation queries.

        Raises:
            ModelError: it ranks no better than chance, or a score is not finite.
            StudyError: the model is no file.
        """
        if not isinstance(model, FileNetwork):
            raise StudyError(
                f"{task.name!r}: 'stored' keeps a file (kind 'onnx', 'torchscript' or 'exported'), "
                f"not a {type(model).__name__}; choose a way to fit it"
            )
        started_s = time.perf_counter()
        judge = self._judge(model, task)
        reached = judge.validate()
        judge.chance.check(
            task.name, reached, remedy="its ids must be those of the prepared data set"
        )
        task.progress.log(f"{task.name}: {judge.chance.metric} {reached:.4f}, kept as it is")
        return FitReport(
            seconds=time.perf_counter() - started_s,
            metric=judge.chance.metric,
            history=(reached,),
            best_epoch=0,
            notes=("brought as a file, not fitted",),
        )

    def _judge(self, model: nn.Module, task: TrainingTask) -> Judge:
        if task.score_inputs:
            zoo = Zoo(task.zoo_folder, task.device)
            size, most = self.list_size, self.num_validation_queries
            return cascade_judge(model, task, zoo, self.k, size, most)
        if task.dataset.task == "ctr":
            return clicks_judge(model, task)
        return ranking_judge(model, task, self.k, self.num_validation_queries)
