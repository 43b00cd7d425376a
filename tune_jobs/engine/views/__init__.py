"""A run as people and trackers see it: the live view, the summary on the terminal, MLflow."""
