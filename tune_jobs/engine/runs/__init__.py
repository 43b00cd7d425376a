"""Whole runs, from ``run()`` to the summary: phases, checks, predictions and retests."""
