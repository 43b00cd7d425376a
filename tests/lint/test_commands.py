"""Our commands in shell text: found wherever they are written, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.lint.commands import find_commands, parse_options, unknown_words

KNOWN = {"run": {"--name": True, "--resume": False}, "show": {}}


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("cd x && .venv/bin/tune-jobs run a --name b >>log 2>&1", [["run", "a", "--name", "b"]]),
        ("python -m tune_jobs run a; tune-jobs show b", [["run", "a"], ["show", "b"]]),
        ("ExecStart=tune-jobs run a", [["run", "a"]]),
        ("ExecStart=/bin/sh -c 'exec %h/bin/tune-jobs run a'", [["run", "a"]]),
        ('CMD ["tune-jobs", "run", "a b"]', [["run", "a b"]]),
        (
            "sbatch x/ray.sbatch a n --seed 1",
            [["run", "a", "--name", "n", "--resume", "--seed", "1"]],
        ),
        ("tune-jobs run a --slot ${{ inputs.slot || 'x y' }}", [["run", "a", "--slot", "{{}}"]]),
        ('tune-jobs run a --name "n-$(date +%F)"', [["run", "a", "--name", "n-{{}}"]]),
        ("x=$(tune-jobs show a)", [["show", "a"]]),
        ("git clone https://host/tune-jobs && cd tune-jobs", []),
        ("#SBATCH --job-name=tune-jobs", []),
        ("tune-jobs --version", []),
        ('usage="sbatch ray.sbatch JOB NAME"', []),
    ],
)
def test_commands_are_found_wherever_they_are_written(text, commands) -> None:
    assert find_commands(text) == commands


def test_an_option_has_its_value_in_either_form_and_a_flag_has_none() -> None:
    words = ["run", "a", "--name=b", "--resume", "--name", "c", "--other", "--more", "1"]

    assert parse_options(words, KNOWN["run"]) == {
        "--name": "c",
        "--resume": "",
        "--other": "",
        "--more": "1",
    }


@pytest.mark.parametrize(
    ("words", "problems"),
    [
        (["run", "a", "--name", "--resume"], []),
        (["run", "a", "--resumed"], ["`tune-jobs run` has no option '--resumed'; did you mean"]),
        (["shwo"], ["tune-jobs has no command 'shwo'; did you mean 'show'?"]),
        (["README.md", "--name"], []),
    ],
)
def test_what_tune_jobs_would_refuse_is_found(words, problems) -> None:
    found = [*unknown_words(words, KNOWN)]

    assert len(found) == len(problems)
    assert all(text.startswith(start) for text, start in zip(found, problems, strict=True))


@given(st.text(alphabet="tune-jobs run \"'`$(){}[],|&;#\\=/\n-c"))
def test_any_text_is_read_or_refused(text) -> None:
    try:
        assert all(find_commands(text))
    except ValueError as error:
        assert str(error)
