"""A study: everything that has to be said to get from data to a verified plan."""

import msgspec

from recfunnel.core.dataset import DatasetSpec
from recfunnel.core.errors import StudyError
from recfunnel.core.pipeline import VARIANT
from recfunnel.core.platform import PlatformSpec
from recfunnel.core.spec import Value
from recfunnel.core.workload import ArrivalsSpec, QuerySizesSpec, ServiceLevel, Workload
from recfunnel.hardware.cpu import Cpu
from recfunnel.plan.select import Objective, Target
from recfunnel.plan.space import SearchSpace
from recfunnel.runtime.base import RuntimeSpec
from recfunnel.runtime.native import Native
from recfunnel.runtime.torch_eager import TorchEager
from recfunnel.train.base import ModelEntry
from recfunnel.train.zoo import fitting_order
from recfunnel.workload.fixed import Fixed
from recfunnel.workload.poisson import Poisson


class TargetSettings(Value, frozen=True):
    """What the plan has to achieve.

    Args:
        rate_qps: offered load, queries a second.
        deadline_s: latency that the quantile must not exceed.
        quantile: of latency, such as 0.99.
        objective: `quality` = best ranking that meets the deadline at this load; `capacity` = most
            load at a ranking statistically equal to the best.
        tolerance: relative loss of NDCG that still counts as equal.
    """

    rate_qps: float = 100.0
    deadline_s: float = 0.025
    quantile: float = 0.99
    objective: Objective = "quality"
    tolerance: float = 0.005


class ProfileSettings(Value, frozen=True):
    """How service times are found.

    Args:
        source: `measured` on this machine, or `modelled` from each model's cost and the platform
            (deterministic, and the only way for a simulated platform).
        repetitions: samples of each model and batch size.
        seconds: rough limit on the time spent measuring.
    """

    source: str = "measured"
    repetitions: int = 200
    seconds: float = 90.0

    def __post_init__(self) -> None:
        if self.source not in ("measured", "modelled"):
            raise StudyError(f"profile.source is {self.source!r}; known: measured, modelled")
        if self.repetitions < 10:
            raise StudyError(f"profile.repetitions is {self.repetitions}, needs at least 10")


class SimulateSettings(Value, frozen=True):
    """How designs are simulated.

    Args:
        arrivals: when queries come.
        sizes: how many candidates they bring.
        num_queries: queries a replication.
        num_replications: independent replications, for intervals.
    """

    arrivals: ArrivalsSpec = Poisson()
    sizes: QuerySizesSpec = Fixed()
    num_queries: int = 20_000
    num_replications: int = 5


class VerifySettings(Value, frozen=True):
    """How the plan is executed for real.

    Args:
        load_fractions: of predicted capacity, each run under open-loop Poisson load.
        seconds: length of each run.
        repeats: runs of each load; the median is compared.
        capacity_seconds: length of each run of the search for the capacity really reached.
        baselines: how many single models are executed too, best ranking first.
    """

    load_fractions: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    seconds: float = 5.0
    repeats: int = 3
    capacity_seconds: float = 2.0
    baselines: int = 1

    def __post_init__(self) -> None:
        if not all(0 < fraction < 1 for fraction in self.load_fractions):
            raise StudyError(f"verify.load_fractions {self.load_fractions} must lie in 0 to 1")
        if min(self.seconds, self.capacity_seconds) <= 0 or self.repeats < 1:
            raise StudyError("verify needs seconds above 0 and at least 1 repeat")


class Study(Value, frozen=True):
    """Data, models, machine, load and target.

    Args:
        name: short, for people.
        dataset: what to learn from and be judged on.
        models: by the name they have everywhere.
        target: what the plan has to achieve.
        space: which pipelines and mappings are searched.
        platform: where stages run.
        runtimes: what may run models, by name. Of those whose scores are exact, each call uses the
            fastest; one that is not exact makes a model of its own of every model it can run,
            named `MODEL@RUNTIME`. Quality is scored on the first that can run a model.
        profile: how service times are found.
        simulate: how designs are simulated.
        verify: how the plan is executed.
        seed: of everything random.
        max_validation_queries: at most this many validation queries judge pipelines while planning
            (drawn by the seed); the test split is always used whole.
    """

    name: str
    dataset: DatasetSpec
    models: dict[str, ModelEntry]
    target: TargetSettings = TargetSettings()
    space: SearchSpace = SearchSpace()
    platform: PlatformSpec = Cpu()
    runtimes: dict[str, RuntimeSpec] = msgspec.field(
        default_factory=lambda: {"native": Native(), "torch": TorchEager()}
    )
    profile: ProfileSettings = ProfileSettings()
    simulate: SimulateSettings = SimulateSettings()
    verify: VerifySettings = VerifySettings()
    seed: int = 0
    max_validation_queries: int = 2500

    def __post_init__(self) -> None:
        if not self.models:
            raise StudyError(f"study {self.name!r} has no models")
        for name in (*self.models, *self.runtimes):
            if VARIANT in name or not name:
                raise StudyError(
                    f"{name!r} cannot be the name of a model or runtime: it must not be empty and "
                    f"{VARIANT!r} separates the two"
                )
        if not self.runtimes:
            raise StudyError(f"study {self.name!r} has no runtimes; leave the key out for torch")
        fitting_order(tuple(self.models), self.models)  # refuses unknown names and circles

    def service_level(self) -> ServiceLevel:
        """The promise of the target."""
        return ServiceLevel(deadline_s=self.target.deadline_s, quantile=self.target.quantile)

    def workload(self) -> Workload:
        """What designs are simulated under."""
        return Workload(
            arrivals=self.simulate.arrivals,
            sizes=self.simulate.sizes,
            rate_qps=self.target.rate_qps,
            service_level=self.service_level(),
            num_queries=self.simulate.num_queries,
            num_replications=self.simulate.num_replications,
        )

    def smallest_fraction(self) -> float:
        """Smallest query, as a fraction of the nominal candidates; 0 where sizes vary."""
        sizes = self.simulate.sizes
        return sizes.fraction if isinstance(sizes, Fixed) else 0.0

    def plan_target(self) -> Target:
        """What the planner selects for."""
        return Target(
            rate_qps=self.target.rate_qps,
            service_level=self.service_level(),
            objective=self.target.objective,
            tolerance=self.target.tolerance,
        )
