"""Files for schedulers, each made from a template."""
