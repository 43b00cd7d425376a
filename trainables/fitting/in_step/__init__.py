"""Fits of different configs in step: alike, each with numbers of its own, in one program."""
