"""The choice under a budget of bytes is the best there is."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recfunnel.core.errors import StudyError
from recfunnel.models.embeddings.within_quality import Option, best_within_bytes


def option(size_bytes: int, quality: float) -> Option:
    return Option(size_bytes=size_bytes, quality=quality)


TWO = st.builds(option, st.integers(0, 50), st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0]))


@settings(deadline=None)
@given(st.lists(st.lists(TWO, min_size=1, max_size=3), min_size=1, max_size=5), st.integers(0, 150))
def test_no_choice_that_fits_has_more_quality(own: list[list[Option]], max_bytes: int) -> None:
    """Against trying every choice; among equals the one of fewest bytes."""
    options = {f"f{number}": each for number, each in enumerate(own)}

    def worth(places: tuple[int, ...]) -> tuple[float, int]:
        chosen = [each[place] for each, place in zip(own, places, strict=True)]
        return sum(o.quality for o in chosen), -sum(o.size_bytes for o in chosen)

    everything = product(*(range(len(each)) for each in own))
    fitting = [worth(places) for places in everything if -worth(places)[1] <= max_bytes]
    if not fitting:
        with pytest.raises(StudyError, match=f"bytes at least, {max_bytes} are allowed"):
            best_within_bytes(options, max_bytes)
        return

    found = best_within_bytes(options, max_bytes)

    assert worth(tuple(found[name] for name in options)) == max(fitting)


def test_the_largest_saving_is_not_always_the_right_one() -> None:
    """Known answer: two small features lose less together than the large one alone."""
    kept, compact = 0, 1
    options = {
        "large": (option(100, 0.0), option(10, -0.05)),
        "middle": (option(60, 0.0), option(10, -0.02)),
        "small": (option(50, 0.0), option(10, -0.02)),
    }

    assert best_within_bytes(options, 120) == {"large": kept, "middle": compact, "small": compact}
    assert best_within_bytes(options, 119) == {"large": compact, "middle": compact, "small": kept}
    assert best_within_bytes(options, 210) == dict.fromkeys(options, kept)
    assert best_within_bytes(options, 30) == dict.fromkeys(options, compact)


def test_what_ranks_better_compact_becomes_so_even_where_all_fits() -> None:
    assert best_within_bytes({"f": (option(9, 0.0), option(3, 0.001))}, 100) == {"f": 1}


def test_forty_features_are_chosen_at_once() -> None:
    """2^40 choices; bytes and losses that are powers of two have a unique best."""
    options = {f"f{n}": (option(1 << n, 0.0), option(0, -float(1 << n))) for n in range(12)}
    options |= {f"g{n}": (option(7, 0.0), option(0, -0.001)) for n in range(28)}

    found = best_within_bytes(options, 0b101010101010)

    assert [found[f"f{n}"] for n in range(12)] == [1, 0] * 6
    assert all(found[f"g{n}"] == 1 for n in range(28))


def test_what_cannot_be_chosen_from_is_refused() -> None:
    with pytest.raises(StudyError, match="'f' has no representation to choose"):
        best_within_bytes({"f": ()}, 10)
    with pytest.raises(StudyError, match="quality of feature 'f' is nan"):
        best_within_bytes({"f": (option(1, float("nan")),)}, 10)
