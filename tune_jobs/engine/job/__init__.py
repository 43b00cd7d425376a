"""The declaration of a search (job) and of where it runs (profile)."""
