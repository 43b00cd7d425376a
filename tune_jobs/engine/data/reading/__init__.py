"""Read tables as they occur: the dialect of a file, numbers and dates in texts."""
