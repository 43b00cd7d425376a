"""Where the loss of the arithmetic job is least; the job imports it in its workers."""

OPTIMUM = 0.3
