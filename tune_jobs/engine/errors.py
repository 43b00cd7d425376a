"""The one error that is the user's to mend."""


class JobError(ValueError):
    """A mistake in a job, a profile, the data or the command line.

    Its message is one line that names the thing, shows the value and says the rule. The command
    line prints it without a traceback and exits with code 2.
    """
