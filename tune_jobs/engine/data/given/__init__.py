"""Data that a program has, and gives a job as they are."""
