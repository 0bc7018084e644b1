"""What sub-batches fetch behind a static cache: counted on traces, by hand and by brute force."""

import numpy as np
import pytest

from recfunnel.core.errors import StudyError
from recfunnel.core.seeds import rng_for
from recfunnel.hardware.accel.row_curve import row_curve
from recfunnel.hardware.accel.rows import RowRates
from recfunnel.hardware.caches.trace import row_trace
from recfunnel.workload.lookups import ZipfLookups


def brute_force(profile: np.ndarray, ids: np.ndarray, size: int, held: int) -> float:
    """Mean rows of a sub-batch that are not among the most looked up of the profile."""
    different, counts = np.unique(profile, return_counts=True)
    hot = set(different[np.lexsort((different, -counts))][:held].tolist())
    parts = [set(part.ravel().tolist()) - hot for part in np.split(ids, len(ids) // size)]
    return float(np.mean([len(part) for part in parts]))


@pytest.mark.parametrize("held", [0, 1, 7, 100, 5000])
@pytest.mark.parametrize("size", [1, 16, 64])
def test_rows_fetched_are_those_of_a_count_by_hand(held: int, size: int) -> None:
    lookups = ZipfLookups(num_rows=200, exponent=0.8)
    profile, ids = lookups.ids(2 * 3 * 640, rng_for(2, "rows")).reshape(2, 640, 3)
    # columns are tables of their own
    apart = [part.astype(np.int64) + 1000 * np.arange(3) for part in (profile, ids)]
    curve = row_curve(row_trace(ids, before=profile, table_rows=(200, 200, 200)), [size])

    assert curve.held_rows[-1] < 600
    within = float(curve.fetched(size, held))
    exact = brute_force(*apart, size, held)
    if held in curve.held_rows or held == 5000:
        assert within == pytest.approx(exact)
    else:
        assert exact - 1e-9 <= within <= exact * 1.01


def test_more_room_and_smaller_sub_batches_fetch_less() -> None:
    ids = ZipfLookups(num_rows=5000).ids(26 * 8192, rng_for(3, "rows")).reshape(-1, 26)
    curve = row_curve(row_trace(ids).warmed_up_by(26 * 4096), [32, 64, 128, 4096])

    sizes, held = np.array([[32.0], [48.0], [64.0], [100.0], [4096.0]]), np.arange(0, 6000, 37)
    fetched = curve.fetched(sizes, held)
    assert (np.diff(fetched, axis=1) <= 1e-9).all()
    assert (np.diff(fetched, axis=0) >= 0).all()
    # a row that several candidates look up is fetched once, so a candidate of many costs less
    assert (np.diff(fetched[:, 0] / sizes[:, 0]) < 0).all()
    assert fetched[0, 0] <= 32 * 26
    # fewer candidates than were counted: their share
    np.testing.assert_allclose(curve.fetched(8, held), fetched[0] / 4)


def test_rows_that_dram_does_not_hold_come_from_the_ssd() -> None:
    ids = ZipfLookups(num_rows=5000).ids(2 * 8192, rng_for(4, "rows")).reshape(-1, 2)
    trace = row_trace(ids).warmed_up_by(8192)
    curve = row_curve(trace, [64], dram_rows=1000)

    assert float(curve.from_ssd(64)) == float(curve.fetched(64, 1000))
    assert float(row_curve(trace, [64]).from_ssd(64)) == 0.0
    assert 0 < float(curve.from_ssd(64)) < float(curve.fetched(64, 100))


def test_constant_rates_are_shares_of_the_lookups() -> None:
    rates = RowRates(num_tables=10, hit_rate=0.4, different=0.5, ssd_share=0.1)

    np.testing.assert_allclose(rates.fetched([100, 200], [[0], [5]]), [[300, 600]] * 2)
    np.testing.assert_allclose(rates.from_ssd([100, 200]), [30, 60])


def test_what_was_not_counted_is_not_guessed() -> None:
    trace = row_trace(np.arange(100)).warmed_up_by(50)

    with pytest.raises(StudyError, match="of 4 to 8 candidates are known, 9 are asked for"):
        row_curve(trace, [4, 8]).fetched(9, 0)
    with pytest.raises(StudyError, match="give 1 or more"):
        row_curve(trace, [])
    with pytest.raises(StudyError, match="no warm-up"):
        row_curve(row_trace(np.arange(100)), [4])
