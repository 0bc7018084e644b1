"""The steps of a study from scores to a verified plan and its report.

What each depends on is hashed; what has not changed is read back.
"""

from pathlib import Path

from recfunnel.core.errors import StudyError
from recfunnel.core.model import ModelCost
from recfunnel.core.pipeline import base_name
from recfunnel.core.platform import Platform
from recfunnel.core.progress import SILENT, Progress
from recfunnel.core.results import LatencyProfile
from recfunnel.core.storage import content_hash, read_json, write_json
from recfunnel.hardware.rpaccel import RPAccel
from recfunnel.plan.inputs import PlanInputs
from recfunnel.plan.planner import PlanResult, make_plan
from recfunnel.plan.serving import save_plan
from recfunnel.plan.space import enumerate_pipelines, single_stage
from recfunnel.profile.accelerated import AcceleratedModel, accelerated_profiles
from recfunnel.profile.measure import measure_profiles
from recfunnel.profile.modelled import modelled_profiles
from recfunnel.profile.request import METHOD, ProfileRequest, sizes_of
from recfunnel.profile.runtimes import RuntimeChoice, fastest_runtimes
from recfunnel.profile.storage import load_profiles, save_profiles
from recfunnel.quality.book import ListMetrics, ScoreBook
from recfunnel.runtime.engine import Engine
from recfunnel.runtime.messages import ServingSetup
from recfunnel.study.accel.stored import stored_model
from recfunnel.study.prove import Proof, Prover
from recfunnel.study.ready import check_ready
from recfunnel.study.run_folder import RunFolder
from recfunnel.study.steps import Split, Steps
from recfunnel.study.study import Study


class Planning:
    """A study at work in its run folder, all the way to a verified plan.

    Every method does what it is named after, and first whatever it needs that is not done yet.

    Args:
        study: what to do.
        folder: open (locked) run folder.
        progress: told about long work.
        command: what the user typed, for the report.
    """

    def __init__(
        self, study: Study, folder: RunFolder, progress: Progress = SILENT, command: str = ""
    ) -> None:
        self.study = study
        self.folder = folder
        self.progress = progress
        self.command = command
        self.steps = Steps(study, folder, progress)
        self._books: dict[str, ScoreBook] = {}
        self._platform: Platform | None = None
        self._result: PlanResult | None = None
        self._fastest: tuple[tuple[LatencyProfile, ...], RuntimeChoice] | None = None

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def num_candidates(self) -> int:
        """Columns of a query."""
        return self.steps.data().test.num_columns

    def platform(self) -> Platform:
        """Where stages run; looked at once a run folder, since measured speeds vary a little."""
        if self._platform is None:
            file, key = self.path / "platform.json", content_hash(self.study.platform)
            if not self.folder.is_done("platform", key):
                with self.folder.doing("platform", key):
                    write_json(file, self.study.platform.build())
            self._platform = read_json(file, Platform)
        return self._platform

    def book(self, split: Split) -> ScoreBook:
        """Quality of any pipeline on one split."""
        if split not in self._books:
            tables = tuple(self.steps.score(split).values())
            k = self.study.space.num_answers
            self._books[split] = ScoreBook(self.steps.queries(split), tables, k=k)
        return self._books[split]

    def single_metrics(self) -> dict[str, ListMetrics]:
        """How each model ranks alone, on the test queries; kept, since no target changes it."""
        k = self.study.space.num_answers
        file, key = self.path / "single_metrics.json", content_hash([self._models_key(), k])
        if not self.folder.is_done("single_metrics", key):
            book = self.book("test")
            with self.folder.doing("single_metrics", key):
                found = {
                    name: book.list_metrics(single_stage(name, self.num_candidates, k))
                    for name in self.steps.served()
                }
                write_json(file, found)
        return read_json(file, dict[str, ListMetrics])

    def costs(self) -> dict[str, ModelCost]:
        """Exact work of each served model."""
        schema = self.steps.data().schema
        entries = {name: self.study.models[base_name(name)] for name in self.steps.served()}
        return {
            name: entry.model.cost(schema, len(entry.score_inputs))
            for name, entry in entries.items()
        }

    def profile(self) -> tuple[LatencyProfile, ...]:
        """Service times of every model on every runtime at every size the search space asks for."""
        request = self._profile_request()
        key = content_hash(
            [
                *(METHOD, self._models_key(), request, self.study.runtimes),
                *(self.study.profile, self.platform()),
            ]
        )
        place = self.path / "profiles"
        if not self.folder.is_done("profile", key):
            self.steps.train()
            with self.folder.doing("profile", key):
                save_profiles(place, self._make_profiles(request))
        return load_profiles(place)

    def fastest(self) -> tuple[tuple[LatencyProfile, ...], RuntimeChoice]:
        """Service times of each call on its fastest runtime, and which that is."""
        if self._fastest is None:
            self._fastest = fastest_runtimes(self.profile())
        return self._fastest

    def plan(self) -> PlanResult:
        """Search the space for the target; estimates are kept for the next target."""
        if self._result is None:
            inputs = self.plan_inputs()
            self.folder.log("plan", "start", target=self.study.plan_target().name)
            self._result = make_plan(
                inputs,
                self.study.plan_target(),
                store_folder=self.path / "estimates",
                progress=self.progress,
            )
            save_plan(self.path / "plan.json", self._result.plan)
            self.steps.keep_study()  # only now: a change that cannot be planned must not stay
            self.folder.log("plan", "done", hash=self._result.plan.content_hash)
        return self._result

    def verify(self, *, again: bool = False) -> Proof:
        """Execute the chosen path, then baselines; empty where there is nothing to execute.

        Args:
            again: measure once more what was measured before.
        """
        if again:
            self.folder.forget("verify")
        plan = self.plan().plan
        if plan.chosen is None or plan.profile_source != "measured":
            return Proof()
        key = self._proof_key()
        if not self.folder.is_done("verify", key):
            with self.folder.doing("verify", key):
                write_json(self.path / "verification.json", self._prover().prove(plan))
        return self.proof()

    def proof(self) -> Proof:
        """What `verify` found for the present plan; empty when it has not been done."""
        if not self.folder.is_done("verify", self._proof_key()):
            return Proof()
        return read_json(self.path / "verification.json", Proof)

    def _proof_key(self) -> str:
        return content_hash([self.plan().plan.content_hash, self.study.verify])

    def kept_promise(self) -> bool:
        """Whether something was chosen and, if it was executed, held its deadline at the load."""
        if self.plan().plan.chosen is None:
            return False
        target = self.study.target
        return all(
            load.measured_p99_s.mean <= target.deadline_s
            for verification in self.proof().verifications[:1]
            for load in verification.loads
            if load.rate_qps <= target.rate_qps * (1 + 1e-9)
        )

    def setup(self) -> ServingSetup:
        """Where worker processes find what they serve."""
        return ServingSetup(
            runtimes=self.study.runtimes,
            models_folder=self.steps.models_folder,
            dataset_folder=self.path / "data",
            score_inputs=self.steps.score_inputs(),
        )

    def plan_inputs(self) -> PlanInputs:
        """Everything the planner is given."""
        profiles, runtimes = self.fastest()
        return PlanInputs(
            space=self.study.space,
            models=tuple(self.steps.served()),
            num_candidates=self.num_candidates,
            quality=self.book("validation"),
            quality_key=content_hash([self._models_key(), self.study.max_validation_queries]),
            profiles=profiles,
            runtimes=runtimes,
            runtimes_of_sub_batches=frozenset(
                name for name, runtime in self.study.runtimes.items() if runtime.fused
            ),
            platform=self.platform(),
            workload=self.study.workload(),
            seed=self.study.seed,
            score_inputs=self.steps.score_inputs(),
            model_bytes={name: cost.parameter_bytes for name, cost in self.costs().items()},
        )

    def _prover(self) -> Prover:
        return Prover(
            study=self.study,
            setup=self.setup(),
            num_queries=len(self.steps.queries("test")),
            progress=self.progress,
        )

    def _profile_request(self) -> ProfileRequest:
        space, settings = self.study.space, self.study.profile
        check_ready(self.steps.data(), space)
        served = self.steps.served()
        pipelines = enumerate_pipelines(space, tuple(served), self.num_candidates)
        cores = self.platform().num_cores
        return ProfileRequest(
            sizes=sizes_of(pipelines, self.steps.score_inputs(), self.study.smallest_fraction()),
            runtimes=served,
            num_threads=tuple(n for n in space.thread_counts if n <= cores),
            platform=self.platform().name,
            repetitions=settings.repetitions,
            seconds=settings.seconds,
            seed=self.study.seed,
        )

    def _make_profiles(self, request: ProfileRequest) -> tuple[LatencyProfile, ...]:
        platform = self.study.platform
        if isinstance(platform, RPAccel):
            return self._accelerated_profiles(platform, request)
        if self.study.profile.source == "modelled":
            return modelled_profiles(self.costs(), self.platform(), request)
        with Engine(self.setup()) as engine:
            return measure_profiles(engine, request, self.steps.queries("test"), self.progress)

    def _accelerated_profiles(
        self, platform: RPAccel, request: ProfileRequest
    ) -> tuple[LatencyProfile, ...]:
        """Of the models' layers, which only finished models have."""
        if self.study.profile.source != "modelled":
            raise StudyError(
                f"no {platform.name!r} can be measured, it is simulated; "
                'set profile.source to "modelled"'
            )
        answers = self.study.space.num_answers
        found = {
            name: stored_model(self.steps.models_folder, base_name(name), answers)
            for name in request.sizes
        }
        models = {name: AcceleratedModel(each.work, each.demand) for name, each in found.items()}
        return accelerated_profiles(models, platform, request)

    def _models_key(self) -> str:
        """Changes with every score: with the models, and with runtimes that rank differently."""
        inexact = {n: spec for n, spec in self.study.runtimes.items() if not spec.exact}
        keys = {name: self.steps.model_key(name) for name in self.study.models}
        return content_hash([keys, inexact])
