"""Run the command line with ``python -m tune_jobs``."""

from tune_jobs.cli.main import main

if __name__ == "__main__":
    main()
