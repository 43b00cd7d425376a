"""What tests of compiled fits share: the sessions of their fits."""

import pytest

from trainables.fitting.session import Session


@pytest.fixture
def sessions(monkeypatch):
    """The sessions of the fits of a test, which say what path was taken."""
    made = []
    original = Session.__init__

    def remember(session, config):
        original(session, config)
        made.append(session)

    monkeypatch.setattr(Session, "__init__", remember)
    return made
