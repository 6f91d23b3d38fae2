"""Calendar windows in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_billing import windows
from hive_billing.accounts import CapScope


@pytest.mark.parametrize(
    ("period", "day", "first", "end"),
    [
        ("day", "2026-11-25", "2026-11-25", "2026-11-26"),
        ("week", "2026-11-25", "2026-11-23", "2026-11-30"),
        ("week", "2026-11-29", "2026-11-23", "2026-11-30"),
        ("month", "2026-11-25", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29", "2028-02-01", "2028-03-01"),
    ],
)
def test_windows(period: str, day: str, first: str, end: str) -> None:
    start, behind = windows.window(period, windows.parse_day(day))
    assert (windows.day_text(start), windows.day_text(behind)) == (first, end)


def test_days_begin_at_midnight_in_utc() -> None:
    midnight = round(datetime(2026, 11, 25, tzinfo=UTC).timestamp() * 1000)
    day = windows.day_of(midnight)
    assert windows.day_text(day) == "2026-11-25"
    assert windows.day_text(windows.day_of(midnight - 1)) == "2026-11-24"
    assert windows.start_of_day(day) == midnight


@given(st.sampled_from(windows.PERIODS), st.integers(0, 60_000))
def test_every_day_lies_in_its_window_and_in_no_other(period: str, day: int) -> None:
    first, end = windows.window(period, day)
    assert first <= day < end
    assert windows.window(period, first) == windows.window(period, end - 1) == (first, end)
    assert windows.window(period, end)[0] == end


@given(st.sampled_from(["key/k", "tenant/a:b"]), st.sampled_from(windows.PERIODS), st.integers(0, 60_000))
def test_the_name_of_a_cap_says_all_of_it(owner: str, period: str, day: int) -> None:
    cap = CapScope(owner, period, *windows.window(period, day))
    assert CapScope.parse(cap.name) == cap


def test_there_are_no_other_periods() -> None:
    with pytest.raises(ValueError, match="'year' is no period"):
        windows.window("year", 1)
