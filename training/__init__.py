"""Learning a new model version from the interaction topic: ``python -m training``.

A child process of the retrain agent, or a call of :func:`training.run.train`. Imports ``registry``
only, never ``streams`` or ``ops``.
"""
