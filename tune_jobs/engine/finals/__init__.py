"""Choosing the winner: finalists retrained on fresh seeds and folds, the verdict, the export."""
