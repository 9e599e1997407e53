"""Judging a model: holdout, metrics with intervals, the incumbent, the gate.

Pure functions of arrays. Nothing here fits, reads or publishes.
"""
