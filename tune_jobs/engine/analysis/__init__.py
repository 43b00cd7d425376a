"""Statistics of finished trials: what mattered, where to search next, intervals, use of time."""
