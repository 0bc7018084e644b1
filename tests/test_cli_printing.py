"""What commands print is whole, however wide."""

import pytest

from recfunnel.cli.printing import print_table


def test_a_table_that_is_too_wide_loses_no_digit(capsys: pytest.CaptureFixture[str]) -> None:
    """14 numbers of 9 digits do not fit 100 columns."""
    names = "abcdefghijklmn"
    print_table([dict.fromkeys(names, 123456789)])
    printed = capsys.readouterr().out

    assert sum(character.isdigit() for character in printed) == 9 * len(names)
    assert "…" not in printed
