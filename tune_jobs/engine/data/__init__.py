"""The data that trials learn from: read, split, encoded, and scored."""
