"""Statistics of finished trials: importance, narrower ranges, intervals, use of time."""
