"""The files in ./cluster and those of schedulers, checked offline for what only tune-jobs knows."""
