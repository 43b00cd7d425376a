"""Checks of cluster files, offline, with file and line."""
