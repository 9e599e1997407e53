"""What all processes agree on: ids, errors, wire records, topics, model versions and rollout rules.

This package is the bottom of the project: it imports libraries only, never ``streams``,
``training`` or ``ops``.
"""
