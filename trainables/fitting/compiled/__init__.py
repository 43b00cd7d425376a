"""Whole epochs in one compiled program, shared by all models of the same structure."""
