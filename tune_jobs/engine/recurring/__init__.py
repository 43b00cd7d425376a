"""Runs that a scheduler repeats: slots, series, notifications and schedulers' files."""
