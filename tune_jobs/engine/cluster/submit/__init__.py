"""Searches on a running Ray cluster, submitted through its Jobs API."""
