"""The Ray cluster of a profile: connection, capacity, checks before a run, submission."""
