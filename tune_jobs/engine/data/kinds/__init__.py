"""Kinds of columns: what all have in common, and those that need more than a few lines."""
