"""Slots: every moment lies in one, whatever clocks do."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import check_experiment_name
from tune_jobs.engine.recurring.slots import RULE, Slots, name_of_slot, parse_slots

# Clocks that are put forward and back by an hour and by half of one, in either hemisphere, at
# midnight, and one that left out a whole day.
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
ZONES += ["America/Sao_Paulo", "Africa/Cairo", "Pacific/Apia", "America/Nuuk"]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

clocks = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
schedules = st.one_of(
    st.sampled_from(["hourly", "daily", "weekly", "monthly"]),
    st.builds("daily@{}".format, clocks),
    st.builds("weekly@{}-{}".format, st.sampled_from(DAYS), clocks),
    st.builds("monthly@{}-{}".format, st.integers(1, 28), clocks),
)
slots = st.builds(parse_slots, schedules, st.sampled_from(ZONES))
moments = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


def at(text: str, zone: str = "UTC", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


@given(slots, moments)
def test_a_name_is_one_of_an_experiment_and_is_the_same_in_any_time_zone(slots, now) -> None:
    name = slots.name(now)

    check_experiment_name(name)
    assert slots.name(now.astimezone(ZoneInfo("Asia/Tokyo"))) == name


@given(slots, st.lists(moments, min_size=2, max_size=20))
def test_later_moments_lie_in_the_same_slot_or_a_later_one(slots, some) -> None:
    names = [slots.name(now) for now in sorted(some)]

    assert names == sorted(names)


@settings(deadline=None)
@given(slots, moments)
def test_slots_follow_each_other_and_last_as_long_as_they_should(slots, now) -> None:
    """Walked through in quarters of an hour: each name once, and none is shorter or longer."""
    longest = {"hourly": 1, "daily": 24, "weekly": 168, "monthly": 31 * 24}[slots.every]
    step = timedelta(minutes=15)
    count = 3 * longest * 4 if slots.every != "monthly" else 62 * 24 * 4
    names = [slots.name(now + step * number) for number in range(min(count, 3000))]
    changes = [place for place, (a, b) in enumerate(pairwise(names)) if a != b]
    lengths = [(b - a) / 4 for a, b in pairwise(changes)]

    least = {"hourly": 0.25, "daily": 22, "weekly": 166, "monthly": 27 * 24}[slots.every]
    skipped_day = slots.zone == "Pacific/Apia" and 2011 <= now.year <= 2012
    assert all(length <= longest + 1.25 for length in lengths)
    assert skipped_day or all(length >= least for length in lengths)


@given(st.integers(2000, 2039), st.sampled_from(ZONES), clocks)
def test_every_day_of_a_year_has_a_slot_leap_days_too(year, zone, clock) -> None:
    slots = parse_slots(f"daily@{clock}", zone)
    hours = range(24 * 367)
    first = datetime(year, 1, 1, tzinfo=UTC)
    names = {slots.name(first + timedelta(hours=hour)) for hour in hours[:: 12 * 60 // 60]}
    days = {
        date.fromordinal(n)
        for n in range(date(year, 1, 2).toordinal(), date(year, 12, 31).toordinal())
    }

    missing = {day.isoformat() for day in days} - names
    assert missing <= ({"2011-12-30"} if zone == "Pacific/Apia" else set())


@pytest.mark.parametrize(
    ("slot", "zone", "moment", "name"),
    [
        ("daily", "UTC", at("2026-11-28T23:59"), "2026-11-28"),
        ("daily@22:00", "UTC", at("2026-11-29T03:00"), "2026-11-28"),
        ("daily@22:00", "UTC", at("2026-11-28T22:00"), "2026-11-28"),
        ("daily", "Europe/Berlin", at("2026-11-28T23:30"), "2026-11-29"),
        ("daily", "UTC", at("2028-02-29T12:00"), "2028-02-29"),
        ("weekly", "UTC", at("2026-11-29T23:59"), "2026-11-23"),
        ("weekly@sun-23:00", "UTC", at("2026-11-30T01:00"), "2026-11-29"),
        ("monthly", "UTC", at("2026-11-28T00:00"), "2026-11-01"),
        ("monthly@15-02:00", "UTC", at("2026-03-15T01:59"), "2026-02-15"),
        ("hourly", "UTC", at("2026-11-28T02:59"), "2026-11-28T02"),
        # 02:30 comes twice: the slot begins when it comes first, and goes on.
        ("daily@02:30", "Europe/Berlin", at("2026-10-25T02:29", "Europe/Berlin"), "2026-10-24"),
        ("daily@02:30", "Europe/Berlin", at("2026-10-25T02:45", "Europe/Berlin"), "2026-10-25"),
        ("daily@02:30", "Europe/Berlin", at("2026-10-25T02:15", "Europe/Berlin", 1), "2026-10-25"),
        # Hours are those of UTC in any zone: the one that comes twice has two names.
        ("hourly", "Europe/Berlin", at("2026-10-25T02:15", "Europe/Berlin"), "2026-10-25T00"),
        ("hourly", "Europe/Berlin", at("2026-10-25T02:15", "Europe/Berlin", 1), "2026-10-25T01"),
        ("hourly", "Asia/Kathmandu", at("2026-11-28T02:10"), "2026-11-28T02"),
        ("2026-11-28T02", "UTC", at("2030-01-01T00:00"), "2026-11-28T02"),
        # 02:30 does not come: it is 03:30 of clocks that were put forward.
        ("daily@02:30", "Europe/Berlin", at("2026-03-29T03:29", "Europe/Berlin"), "2026-03-28"),
        ("daily@02:30", "Europe/Berlin", at("2026-03-29T03:31", "Europe/Berlin"), "2026-03-29"),
        ("2026-11-28", "UTC", at("2030-01-01T00:00"), "2026-11-28"),
    ],
)
def test_the_slot_of_a_moment(slot, zone, moment, name) -> None:
    assert name_of_slot(slot, zone, moment) == name


@given(schedules)
def test_slots_are_shown_as_they_are_written(text) -> None:
    slots = parse_slots(text)

    assert isinstance(slots, Slots)
    assert parse_slots(str(slots)) == slots


@pytest.mark.parametrize(
    ("slot", "zone", "said"),
    [
        ("dayly", "UTC", f"--slot must be {RULE}, got 'dayly'; did you mean 'daily'?"),
        ("daily@24:00", "UTC", f"--slot must be {RULE}, got 'daily@24:00'"),
        ("hourly@02:00", "UTC", f"--slot must be {RULE}, got 'hourly@02:00'"),
        ("weekly@02:00", "UTC", f"--slot must be {RULE}, got 'weekly@02:00'"),
        ("weekly@caturday-02:00", "UTC", "the day of a week must be one of mon, tue, wed, thu, "),
        ("monthly@31-02:00", "UTC", "the day of a month must be 1 to 28, got '31'"),
        ("2026/11/28", "UTC", f"--slot must be {RULE}, got '2026/11/28'"),
        ("2026-10-25T02b", "UTC", f"--slot must be {RULE}, got '2026-10-25T02b'"),
        ("2026-13-45", "UTC", "--slot '2026-13-45' is not a date: month must be"),
        ("2026-02-29", "UTC", "--slot '2026-02-29' is not a date: day is out"),
        ("daily", "Europe/Berln", "unknown time zone 'Europe/Berln'; did you mean 'Europe/B"),
    ],
)
def test_what_is_no_slot_is_refused(slot, zone, said) -> None:
    with pytest.raises(JobError) as refused:
        parse_slots(slot, zone)
    assert str(refused.value).startswith(said)
