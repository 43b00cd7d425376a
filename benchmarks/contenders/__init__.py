"""Search the same space with each tool, as its users would write it: one module per tool.

Each search takes a task and returns the last validation loss of every trial and the number of
epochs trained: ``{"losses": [...], "epochs": 400}``. The searches of ``QUALITY`` prune, but for two
of ours, and instead write the time and the validation loss of every epoch to the task's log.
"""

# By name: module and function. Imported only in the contender's own process.
PEERS = {
    "tune-jobs": ("tune_jobs_search", "search"),
    "ray": ("ray_search", "search"),
    "ray-reuse": ("ray_search", "search_reusing"),
    "keras-tuner": ("keras_tuner_search", "search"),
    "keras-tuner-hyperband": ("keras_tuner_search", "search_hyperband"),
    "kt-program": ("keras_tuner_program", "search_with_keras_tuner"),
    "kt-program-here": ("keras_tuner_program", "search_with_tune_jobs"),
    "optuna": ("optuna_search", "search"),
    "sklearn-1": ("sklearn_search", "search"),
    "sklearn-2": ("sklearn_search", "search_in_two"),
}

QUALITY = {
    "tune-jobs": ("tune_jobs_search", "search_pruned"),
    "tune-jobs-unpruned": ("tune_jobs_search", "search_whole"),
    "ray-reuse": ("ray_search", "search_pruned"),
    "keras-tuner-hyperband": ("keras_tuner_search", "search_pruned"),
    "optuna": ("optuna_search", "search_pruned"),
    "tune-jobs-random": ("tune_jobs_search", "search_long"),
}

# They draw configs of their own, or train them as long as their rule says, so are not compared by
# them. ``kt-program`` is one KerasTuner program, ``kt-program-here`` the same with one import
# changed.
OWN_RULE = frozenset(["keras-tuner-hyperband", "kt-program", "kt-program-here"])
