"""Continuing from a history: past trials, warm starts, stages and replay."""
