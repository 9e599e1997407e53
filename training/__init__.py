"""Learning a new model version from the interaction topic: ``python -m training``.

Nothing here imports `streams` or `ops`; a worker starts it as a child process.
"""
