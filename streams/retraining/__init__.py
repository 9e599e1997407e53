"""When a training run starts, the child process that does it, and the announcement after.

Nothing here knows how to train.
"""
