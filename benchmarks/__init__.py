"""What tune-jobs costs in time and memory, beside its peers."""
