"""Trials under Ray Tune: the tuner, what it trains next, what is recorded, when it stops."""
