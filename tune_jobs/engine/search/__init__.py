"""Which config is tried next (searchers), and which trial is stopped early (schedulers)."""
