"""The folder of a run: its history, summary, failures and lease, and lists of such folders."""
