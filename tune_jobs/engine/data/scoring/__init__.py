"""What outputs mean, and how they are scored: scikit-learn's scorers, test scores, baselines."""
