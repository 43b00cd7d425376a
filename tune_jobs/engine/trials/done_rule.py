"""The rule that ends a search when more trials are not worth it."""

from __future__ import annotations

from dataclasses import replace

from tune_jobs.engine.analysis.outlook import Outlook, find_outlook
from tune_jobs.engine.goal import Goal
from tune_jobs.engine.search.knowledge import Knowledge, Memory
from tune_jobs.engine.search.observations import Observation
from tune_jobs.engine.space.domains import Space

# The outlook is looked at after the first so many configs, and then whenever so many more ended.
FIRST, EVERY = 20, 5

# The outlooks in a row that have to say that the search is done.
IN_A_ROW = 3


class DoneRule:
    """Ends a search once its outlook was no better than the noise three times in a row.

    It looks at the first 20 configs that have ended, the first 25, and so on. So what it says
    follows from the history: a search that it has ended stays ended when it is continued.
    """

    def __init__(self) -> None:
        self._outlooks: dict[int, Outlook | None] = {}

    def begin(self, goal: Goal, space: Space, max_epochs: int) -> None:
        """Learn what is searched.

        Raises:
            JobError: for a space that no model can learn.
        """
        self._memory, self._max_epochs = Memory(space, goal), max_epochs

    def learn(self, key: str, observation: Observation) -> None:
        """Learn what is known of a config by now."""
        self._memory.learn(key, observation)

    def reason(self) -> str | None:
        """Return why the search has to end; None if it does not."""
        knowledge = self._memory.knowledge(self._max_epochs)
        ended = [each for each in knowledge.known if each.state != "running"]
        last = FIRST + (len(ended) - FIRST) // EVERY * EVERY
        if last < FIRST + (IN_A_ROW - 1) * EVERY:
            return None
        outlooks = [
            self._outlook(replace(knowledge, known=ended[: last - EVERY * ago]))
            for ago in range(IN_A_ROW)
        ]
        if outlooks[0] is None or not all(each and each.is_done for each in outlooks):
            return None
        return outlooks[0].sentence

    def _outlook(self, knowledge: Knowledge) -> Outlook | None:
        """Return the outlook of the first configs that have ended, computed once."""
        count = len(knowledge.known)
        if count not in self._outlooks:
            self._outlooks[count] = find_outlook(knowledge)
        return self._outlooks[count]
