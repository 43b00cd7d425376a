"""Early stopping that pauses: a trial is promoted once its place in its rung turns good."""
