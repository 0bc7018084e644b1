"""Query sizes: fractions of the nominal candidates."""

from pathlib import Path

import numpy as np
import pytest

from recfunnel.core.errors import DataError, StudyError
from recfunnel.core.workload import query_sizes, sizes_for
from recfunnel.testing.arrivals import QuerySizesContract
from recfunnel.workload.empirical import Empirical
from recfunnel.workload.fixed import Fixed
from recfunnel.workload.lognormal import Lognormal


class TestFixed(QuerySizesContract):
    spec = Fixed(fraction=0.25)


class TestLognormal(QuerySizesContract):
    spec = Lognormal(median=0.5, sigma=1.0)


class TestEmpirical(QuerySizesContract):
    @pytest.fixture(autouse=True)
    def _record(self, tmp_path: Path) -> None:
        (tmp_path / "sizes.txt").write_text("10\n20\n40\n")
        self.spec = Empirical(path=str(tmp_path / "sizes.txt"))


def test_every_kind_is_found_by_its_name() -> None:
    assert set(query_sizes.kinds()) >= {"empirical", "fixed", "lognormal"}


def test_lognormal_sizes_have_the_median_and_spread_asked_for() -> None:
    fractions = Lognormal(median=0.2, sigma=0.3).fractions(200_000, np.random.default_rng(1))
    logs = np.log(fractions)
    # standard errors: mean sigma / sqrt(N) = 0.07 %, deviation sigma / sqrt(2 N)
    assert logs.mean() == pytest.approx(np.log(0.2), abs=4 * 0.3 / np.sqrt(200_000))
    assert logs.std() == pytest.approx(0.3, abs=4 * 0.3 / np.sqrt(400_000))


def test_the_default_is_deeprecsys() -> None:
    sizes = sizes_for(Lognormal().fractions(200_000, np.random.default_rng(2)), 1024)
    assert np.median(sizes) == pytest.approx(164, abs=2)
    assert np.quantile(sizes, 0.99) == pytest.approx(261, rel=0.02)


def test_sizes_over_the_nominal_are_clipped_at_it() -> None:
    fractions = Lognormal(median=1.0, sigma=0.5).fractions(10_000, np.random.default_rng(3))
    assert (fractions == 1).mean() == pytest.approx(0.5, abs=4 * 0.005)


def test_recorded_sizes_are_drawn_alike_and_over_the_nominal(tmp_path: Path) -> None:
    file = tmp_path / "s.txt"
    file.write_text("10\n20\n40\n")
    fractions = Empirical(path=str(file), nominal=80.0).fractions(30_000, np.random.default_rng(4))
    values, counts = np.unique(fractions, return_counts=True)
    assert values.tolist() == [0.125, 0.25, 0.5]
    assert counts == pytest.approx(np.full(3, 10_000), abs=4 * 82)  # binomial deviation


@pytest.mark.parametrize(
    ("content", "nominal", "message"),
    [("0\n5\n", None, "must be above 0"), ("5\n9\n", 8.0, "above the nominal 8; set nominal")],
)
def test_bad_recorded_sizes_are_refused(
    tmp_path: Path, content: str, nominal: float | None, message: str
) -> None:
    file = tmp_path / "s.txt"
    file.write_text(content)
    with pytest.raises(DataError, match=message):
        Empirical(path=str(file), nominal=nominal).fractions(5, np.random.default_rng(0))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Fixed(fraction=0.0),
        lambda: Fixed(fraction=1.5),
        lambda: Lognormal(median=0.0),
        lambda: Lognormal(sigma=-1.0),
        lambda: Empirical(path="x", nominal=0.0),
    ],
)
def test_a_size_that_cannot_be_is_refused(build: object) -> None:
    with pytest.raises(StudyError):
        build()  # type: ignore[operator]
