"""Execute the chosen path and its rivals, and hold the predictions against what happened."""

from dataclasses import dataclass

from msgspec import structs

from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import DesignPoint, ServingPlan
from recfunnel.core.spec import Value
from recfunnel.plan.calibrate import calibrate_path, predict_calibrated
from recfunnel.plan.measured import CapacityTrial, MeasuredCapacity, measure_capacity
from recfunnel.plan.verify import Trial, Verification, verify_path
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.messages import ServingSetup
from recfunnel.study.study import Study


class Proof(Value, frozen=True):
    """What executing showed, the chosen path first.

    Args:
        verifications: predicted against measured latency.
        capacities: measured, of the same paths.
    """

    verifications: tuple[Verification, ...] = ()
    capacities: tuple[MeasuredCapacity, ...] = ()


def marked(verification: Verification, disturbed: tuple[str, ...]) -> Verification:
    """A verification whose rows prove nothing where its calibration was disturbed.

    Args:
        verification: of a path.
        disturbed: what disturbed the calibration of the same path, in words; empty when nothing.
    """
    if not disturbed:
        return verification
    loads = tuple(
        structs.replace(load, polluted=True, notes=(*load.notes, *disturbed))
        for load in verification.loads
    )
    return structs.replace(verification, loads=loads)


@dataclass(frozen=True, eq=False, slots=True)
class Prover:
    """What executing paths takes.

    Args:
        study: whose load and promise are executed.
        setup: where worker processes find what they serve.
        num_queries: rows of the query set that is asked.
        progress: told about runs.
    """

    study: Study
    setup: ServingSetup
    num_queries: int
    progress: Progress = SILENT

    def prove(self, plan: ServingPlan) -> Proof:
        """Execute the chosen path at its promise and at fractions of its capacity, then rivals.

        Args:
            plan: one that chose something.

        Returns:
            Verification and measured capacity of each path, the chosen first.

        Raises:
            WorkerError: a worker process died, failed or fell silent.
        """
        with Engine(self.setup) as engine:
            points = self._points(plan)
            return Proof(
                verifications=tuple(self._execute(engine, point) for point in points),
                capacities=tuple(self._capacity(engine, point) for point in points),
            )

    def _points(self, plan: ServingPlan) -> tuple[DesignPoint, ...]:
        """The chosen point, then the best single models that can carry any load."""
        assert plan.chosen is not None, "only a plan that chose something is executed"
        able = (
            point
            for point in plan.baselines
            if point.path != plan.chosen.path and point.objectives.capacity_qps.mean > 0
        )
        rivals = sorted(able, key=lambda point: -point.objectives.ndcg.mean)
        return (plan.chosen, *rivals[: self.study.verify.baselines])

    def _execute(self, engine: Engine, point: DesignPoint) -> Verification:
        workload, seed = self.study.workload(), self.study.seed
        capacity_qps = point.objectives.capacity_qps.mean
        seconds = self.study.verify.seconds
        trial = self._trial(capacity_qps)
        profile = calibrate_path(
            engine,
            point.path,
            capacity_qps,
            self.num_queries,
            workload,
            seconds,
            seed,
            self.progress,
            least_load=min(trial.load_fractions),
        )
        found = verify_path(
            engine,
            point.path,
            predict_calibrated(profile, workload, seed),
            capacity_qps,
            self.num_queries,
            workload.arrivals,
            workload.sizes,
            trial,
            self.progress,
        )
        return marked(found, profile.disturbed)

    def _capacity(self, engine: Engine, point: DesignPoint) -> MeasuredCapacity:
        workload, settings = self.study.workload(), self.study.verify
        trial = CapacityTrial(
            service_level=workload.service_level,
            arrivals=workload.arrivals,
            sizes=workload.sizes,
            num_queries=self.num_queries,
            seconds=settings.capacity_seconds,
            repeats=settings.repeats,
            seed=self.study.seed,
        )
        guess_qps = point.objectives.capacity_qps.mean
        return measure_capacity(engine, point.path, guess_qps, trial, self.progress)

    def _trial(self, capacity_qps: float) -> Trial:
        """The loads of the study, and the promised one where the path can carry it."""
        settings, promised = self.study.verify, self.study.target.rate_qps / capacity_qps
        fractions = set(settings.load_fractions) | ({promised} if promised <= 1 else set())
        return Trial(
            load_fractions=tuple(sorted(fractions)),
            seconds=settings.seconds,
            repeats=settings.repeats,
            seed=self.study.seed,
        )
