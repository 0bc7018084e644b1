"""Pipelines of stages, and where they run."""

from collections.abc import Mapping as Lookup
from typing import Literal

from recfunnel.core.errors import StudyError
from recfunnel.core.spec import Value


class Stage(Value, frozen=True):
    """One model keeps the best `num_out` of `num_in` candidates."""

    model: str
    num_in: int
    num_out: int

    def __post_init__(self) -> None:
        if not 1 <= self.num_out <= self.num_in:
            raise StudyError(
                f"stage {self.model!r} keeps {self.num_out} of {self.num_in}; "
                f"it must keep between 1 and {self.num_in}"
            )


Keep = Literal["all", "share"]
"""What n sub-batches keep together of the k that a stage keeps: the best k of all, or each the
best k / n of its own, rounded up."""


class Pipeline(Value, frozen=True):
    """Stages in order; each reads what the one before it keeps.

    Args:
        stages: in order.
        sub_batches: n, runs of equal length that a query's columns are cut into; column c of C
            belongs to the run i for which floor(i C / n) <= c < floor((i + 1) C / n). A server with
            several cores works on as many of them at once.
        keep: `all` answers what the same pipeline without sub-batches does: they meet after each
            stage. With `share` each keeps its share and goes on alone, which saves waiting and may
            lose a candidate; only the last stage answers the best of all.
    """

    stages: tuple[Stage, ...]
    sub_batches: int = 1
    keep: Keep = "all"

    def __post_init__(self) -> None:
        if not self.stages:
            raise StudyError("a pipeline needs at least one stage")
        fewest = min([self.stages[0].num_in, *(s.num_out for s in self.stages[:-1])])
        if not 1 <= self.sub_batches <= fewest:
            raise StudyError(
                f"a pipeline whose stages read as few as {fewest} candidates is cut into 1 to "
                f"{fewest} sub-batches, not {self.sub_batches}"
            )
        if self.sub_batches == 1 and self.keep != "all":
            raise StudyError(
                f"keep {self.keep!r} needs at least 2 sub-batches; raise sub_batches or leave "
                "keep out"
            )
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            if before.num_out != after.num_in:
                raise StudyError(
                    f"{before.model!r} keeps {before.num_out} items but {after.model!r} reads "
                    f"{after.num_in}"
                )

    @property
    def name(self) -> str:
        """Short name for people, such as `ease 3706→256 · rerank 256→64`."""
        stages = " · ".join(f"{s.model} {s.num_in}→{s.num_out}" for s in self.stages)
        if self.sub_batches == 1:
            return stages
        kept = ", each keeps its share" if self.keep == "share" else ""
        return f"{stages} in {self.sub_batches} sub-batches{kept}"

    @property
    def models(self) -> tuple[str, ...]:
        """The model of each stage."""
        return tuple(stage.model for stage in self.stages)

    @property
    def num_out(self) -> int:
        """Items answered."""
        return self.stages[-1].num_out

    @property
    def ranks_by_share(self) -> bool:
        """Whether sub-batches change what is answered: some stage but the last keeps by share."""
        return self.keep == "share" and len(self.stages) > 1

    def most_left(self, number: int) -> int:
        """The most that all sub-batches together hand on after a stage, counted from 0."""
        if self.ranks_by_share and number < len(self.stages) - 1:
            return self.sub_batches * self.share(number)
        return self.stages[number].num_out

    def run_length(self, num_candidates: int) -> int:
        """Candidates in the longest of the sub-batches that so many are cut into."""
        return -(-num_candidates // self.sub_batches)

    def share(self, number: int) -> int:
        """What each sub-batch keeps of what it reads in a stage; the last one answers all it may.

        Args:
            number: of the stage, from 0.
        """
        num_out = self.stages[number].num_out
        if number == len(self.stages) - 1 or self.keep == "all":
            return num_out
        return self.run_length(num_out)


def pipeline_of(models: tuple[str, ...], sizes: tuple[int, ...]) -> Pipeline:
    """Build from the models and the sizes around them.

    Args:
        models: one a stage.
        sizes: one more than models: candidates, each keep-count, items answered.

    Returns:
        The pipeline.

    Raises:
        StudyError: a keep-count grows, or the numbers do not match.
    """
    if len(sizes) != len(models) + 1:
        raise StudyError(f"{len(models)} stages need {len(models) + 1} sizes, got {len(sizes)}")
    return Pipeline(
        stages=tuple(
            Stage(model=m, num_in=i, num_out=o)
            for m, i, o in zip(models, sizes, sizes[1:], strict=False)
        )
    )


def stage_scorers(
    pipeline: Pipeline, score_inputs: Lookup[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    """The models each stage has to call: inputs no earlier stage has computed, then its own.

    Args:
        pipeline: the stages.
        score_inputs: for each model, the models whose scores it reads.

    Returns:
        One tuple a stage; the last name of each is the stage's own model.
    """
    known: set[str] = set()
    calls: list[tuple[str, ...]] = []
    for stage in pipeline.stages:
        needed: list[str] = []
        _add_needed(stage.model, score_inputs, known, needed)
        calls.append(tuple(needed))
    return tuple(calls)


def _add_needed(
    model: str, score_inputs: Lookup[str, tuple[str, ...]], known: set[str], needed: list[str]
) -> None:
    for name in score_inputs[model]:
        if name not in known:
            _add_needed(name, score_inputs, known, needed)
    known.add(model)
    needed.append(model)


VARIANT = "@"
"""Between a model's name and that of a runtime on which it ranks differently."""


def variant_name(model: str, runtime: str) -> str:
    """Name of a model on a runtime that is not exact, such as `large@bfloat16`."""
    return f"{model}{VARIANT}{runtime}"


def base_name(model: str) -> str:
    """Name of the fitted model behind a name that may be a variant's."""
    return model.partition(VARIANT)[0]


class Station(Value, frozen=True):
    """Servers that run some consecutive stages of each query to completion.

    Args:
        platform: where.
        num_stages: how many consecutive stages run here.
        num_servers: queries worked on at once.
        num_threads: cores each server uses for one query.
    """

    platform: str
    num_stages: int
    num_servers: int = 1
    num_threads: int = 1

    def __post_init__(self) -> None:
        if min(self.num_stages, self.num_servers, self.num_threads) < 1:
            raise StudyError("a station needs at least 1 stage, 1 server and 1 thread")


class Mapping(Value, frozen=True):
    """The stations a query passes, in order; a first-come-first-served queue before each."""

    stations: tuple[Station, ...]

    @property
    def num_stages(self) -> int:
        """Stages all stations run together."""
        return sum(station.num_stages for station in self.stations)

    @property
    def name(self) -> str:
        """Short name for people, such as `2x1 thread [2 stages]`."""
        return " → ".join(
            f"{s.num_servers}x{s.num_threads}t {s.platform}"
            + (f" [{s.num_stages} stages]" if s.num_stages > 1 else "")
            for s in self.stations
        )


class Path(Value, frozen=True):
    """A pipeline with its mapping: one way to serve a query.

    Args:
        pipeline: what is computed.
        mapping: where.
        runtimes: (model, runtime) for each model it calls, by name; models that are left out run
            on the first runtime of the study.
    """

    pipeline: Pipeline
    mapping: Mapping
    runtimes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.mapping.num_stages != len(self.pipeline.stages):
            raise StudyError(
                f"the mapping places {self.mapping.num_stages} stages, "
                f"the pipeline has {len(self.pipeline.stages)}"
            )

    @property
    def name(self) -> str:
        """Short name for people."""
        return f"{self.pipeline.name} on {self.mapping.name}"
