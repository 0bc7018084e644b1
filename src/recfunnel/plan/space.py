"""Which pipelines a plan looks at: every model, order and keep-count of a stated space, exactly."""

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import Keep, Pipeline, pipeline_of
from recfunnel.core.spec import Value

MAX_STAGES = 4
"""More stages than this are refused: nothing here was ever tested with them."""


class SearchSpace(Value, frozen=True):
    """What may be combined.

    Args:
        models: names considered; empty means every model of the study.
        max_stages: pipelines of 1 to this many stages.
        keep_counts: what a stage that is not the last may keep.
        num_answers: k, items the last stage answers.
        thread_counts: cores one server may use for one query; each needs its own profile.
        sub_batches: how many sub-batches a pipeline of several stages may cut a query into; 1 is
            none. More than 1 are looked at where every model's fastest runtime works on several at
            once.
        keeps: what sub-batches keep, `all` (changes no answer) or `share`.
    """

    models: tuple[str, ...] = ()
    max_stages: int = 3
    keep_counts: tuple[int, ...] = (64, 128, 256, 512, 1024)
    num_answers: int = 64
    thread_counts: tuple[int, ...] = (1,)
    sub_batches: tuple[int, ...] = (1,)
    keeps: tuple[Keep, ...] = ("all",)

    def __post_init__(self) -> None:
        if not 1 <= self.max_stages <= MAX_STAGES:
            raise StudyError(f"max_stages is {self.max_stages}, must be 1 to {MAX_STAGES}")
        if self.num_answers < 1:
            raise StudyError(f"num_answers is {self.num_answers}, must be at least 1")
        if any(num_threads < 1 for num_threads in self.thread_counts) or not self.thread_counts:
            raise StudyError(f"thread_counts {self.thread_counts} must name counts of at least 1")
        for what in ("models", "keep_counts", "thread_counts", "sub_batches", "keeps"):
            _no_repeats(what, getattr(self, what))
        self._check_sub_batches()
        short = [keep for keep in self.keep_counts if keep < self.num_answers]
        if short:
            raise StudyError(
                f"keep-count {short[0]} is below the {self.num_answers} items that are answered; "
                f"remove it from keep_counts or lower num_answers"
            )
        if self.max_stages > 1 and not self.keep_counts:
            raise StudyError(
                f"max_stages is {self.max_stages} but keep_counts is empty; "
                "give keep-counts or set max_stages to 1"
            )

    def _check_sub_batches(self) -> None:
        if any(count < 1 for count in self.sub_batches) or not self.sub_batches or not self.keeps:
            raise StudyError(
                f"sub_batches {self.sub_batches} must name counts of at least 1, and keeps "
                f"{self.keeps} at least one of all and share"
            )
        most = max(self.sub_batches)
        if most > 1 and 1 not in self.thread_counts:
            raise StudyError(
                f"{most} sub-batches are priced by calls on one core; add 1 to thread_counts "
                f"{self.thread_counts}"
            )
        small = [keep for keep in self.keep_counts if keep < most]
        if small:
            raise StudyError(
                f"keep-count {small[0]} cannot be shared by {most} sub-batches; remove one of them"
            )

    def check(self, models: Sequence[str], num_candidates: int) -> None:
        """Hold the space against the models and candidates there are.

        Args:
            models: every model of the study.
            num_candidates: that a query brings.

        Raises:
            StudyError: an unknown model, fewer candidates than answers, a keep-count that keeps
                everything.
        """
        unknown = [name for name in self.models if name not in models]
        if unknown:
            raise StudyError(f"space.models names {unknown[0]!r}; known: {', '.join(models)}")
        self.check_candidates(num_candidates)

    def check_candidates(self, num_candidates: int) -> None:
        """Hold the space against what a query brings, which is known before any model is.

        Raises:
            StudyError: fewer candidates than answers, or a keep-count that keeps everything.
        """
        if num_candidates < self.num_answers:
            raise StudyError(
                f"{self.num_answers} items are answered but queries have only {num_candidates} "
                f"candidates; lower num_answers to at most {num_candidates}: "
                f"--set space.num_answers={num_candidates}"
            )
        large = [keep for keep in self.keep_counts if keep >= num_candidates]
        if self.max_stages > 1 and large:
            rest = [keep for keep in self.keep_counts if keep < num_candidates]
            setting = f"keep_counts={rest}".replace(" ", "") if rest else "max_stages=1"
            raise StudyError(
                f"keep-count {large[0]} must be below the {num_candidates} candidates of a query; "
                f"remove it from keep_counts: --set space.{setting}"
            )


def _no_repeats(what: str, values: tuple[object, ...]) -> None:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise StudyError(f"space.{what} names {twice[0]!r} twice")


def enumerate_pipelines(
    space: SearchSpace, models: Sequence[str], num_candidates: int
) -> tuple[Pipeline, ...]:
    """Every pipeline of the space, short ones first, in an order that depends on nothing else.

    No model appears twice. Keep-counts fall strictly from stage to stage: a stage that keeps all
    it reads only adds time. The last stage answers k items and may get exactly k to reorder.

    Args:
        space: what may be combined.
        models: every model of the study.
        num_candidates: that a query brings.

    Returns:
        The pipelines.

    Raises:
        StudyError: the space does not fit the models or the candidates.
    """
    space.check(models, num_candidates)
    names = space.models or tuple(models)
    return tuple(_pipelines(space, names, num_candidates))


def _pipelines(space: SearchSpace, names: Sequence[str], num_candidates: int) -> Iterator[Pipeline]:
    falling = sorted(space.keep_counts, reverse=True)
    for num_stages in range(1, space.max_stages + 1):
        for chosen in permutations(names, num_stages):
            for keeps in combinations(falling, num_stages - 1):
                plain = pipeline_of(chosen, (num_candidates, *keeps, space.num_answers))
                yield from _cut(plain, space)


def _cut(plain: Pipeline, space: SearchSpace) -> Iterator[Pipeline]:
    """The pipeline with each number of sub-batches; one stage alone is never cut."""
    counts = space.sub_batches if len(plain.stages) > 1 else (1,)
    for count in sorted(counts):
        for keep in space.keeps if count > 1 else ("all",):
            yield Pipeline(stages=plain.stages, sub_batches=count, keep=keep)


def single_stage(model: str, num_candidates: int, num_answers: int) -> Pipeline:
    """One model alone ranks everything."""
    return pipeline_of((model,), (num_candidates, num_answers))
