"""A prediction drawn from a disturbed calibration proves nothing, and says so."""

from recfunnel.core.pipeline import Mapping, Path, Station, pipeline_of
from recfunnel.core.results import Estimate
from recfunnel.core.verified import VerifiedLoad
from recfunnel.plan.verify import Verification
from recfunnel.study.prove import marked

PATH = Path(
    pipeline=pipeline_of(("a",), (10, 5)),
    mapping=Mapping(stations=(Station(platform="cpu", num_stages=1),)),
)
ONE = Estimate.exact(1.0)
LOAD = VerifiedLoad(
    load_fraction=0.3,
    rate_qps=1.0,
    predicted_p50_s=ONE,
    measured_p50_s=ONE,
    predicted_p99_s=ONE,
    measured_p99_s=ONE,
    predicted_throughput_qps=ONE,
    measured_throughput_qps=ONE,
    num_queries=1,
)
VERIFICATION = Verification(path=PATH, capacity_qps=1.0, loads=(LOAD, LOAD))


def test_a_disturbed_calibration_marks_every_row_it_predicts() -> None:
    found = marked(VERIFICATION, ("calibration at 30%: 9.0% used by other programs",))

    assert all(load.polluted for load in found.loads)
    assert all("calibration at 30%" in load.notes[-1] for load in found.loads)


def test_an_undisturbed_calibration_leaves_the_rows_as_they_are() -> None:
    assert marked(VERIFICATION, ()) is VERIFICATION
