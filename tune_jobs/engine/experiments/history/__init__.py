"""The history of an experiment: records on disk, and the tables that are made from them."""
