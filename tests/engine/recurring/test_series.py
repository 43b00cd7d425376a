"""The names of a series, one for each slot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.job.description import Slot
from tune_jobs.engine.names import check_experiment_name
from tune_jobs.engine.recurring.series import fill_name, folder_of

SLOT = Slot("churn", "2026-11-28", "0123456789ab")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("nightly-{slot}", "nightly-2026-11-28"),
        ("{job}-{slot}", "churn-2026-11-28"),
        ("{slot}.{hash}", "2026-11-28.0123456789ab"),
    ],
)
def test_a_name_has_its_places_filled_in(template, name) -> None:
    assert fill_name(template, SLOT) == name


@pytest.mark.parametrize(
    ("template", "slot", "said"),
    [
        ("nightly", SLOT, "--name 'nightly' would be the same for every slot; add {slot}"),
        ("nightly-{slot}", None, "--name 'nightly-{slot}' has {slot}, but --slot is not given"),
        ("{date}-{slot}", SLOT, "may have only the plain placeholders {job}, {slot}, {hash}"),
        ("{slot!r}", SLOT, "may have only the plain placeholders"),
        ("{slot:>30}", SLOT, "may have only the plain placeholders"),
        ("{slot", SLOT, "--name '{slot': expected '}' before end of string"),
        ("a b-{slot}", SLOT, "experiment name 'a b-2026-11-28' must be at most 100 letters"),
    ],
)
def test_a_name_that_cannot_be_filled_in_is_refused(template, slot, said) -> None:
    with pytest.raises(JobError) as refused:
        fill_name(template, slot)
    assert said in str(refused.value)


@given(st.text(max_size=30))
def test_whatever_is_asked_for_is_a_name_or_refused(template) -> None:
    try:
        name = fill_name(template, SLOT)
    except JobError:
        return
    check_experiment_name(name)
    assert SLOT.slot in name


def test_all_slots_of_a_series_share_a_folder_and_no_two_series_do(tmp_path) -> None:
    places = [
        folder_of(*series, str(tmp_path)).uri
        for series in (
            ("nightly-{slot}", "churn"),
            ("{job}-{slot}", "churn"),
            ("{job}-{slot}", "fraud"),
            ("churn", "churn"),
        )
    ]

    assert len(set(places)) == 4
    assert all(place.startswith(f"{tmp_path}/.series/") for place in places)
