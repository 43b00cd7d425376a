"""One search per module; run them with ``tune-jobs run NAME``."""
