import click
import pytest

from tune_jobs.cli.cluster import known_options
from tune_jobs.cli.main import main


@pytest.fixture(scope="session")
def known() -> dict[str, dict[str, bool]]:
    """The options of our commands, as the command line hands them to the lint."""
    return known_options(click.Context(main))
