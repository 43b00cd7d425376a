"""Measure what tune-jobs costs in time and memory, next to its peers."""
