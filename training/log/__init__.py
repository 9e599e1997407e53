"""The interaction topic as a run reads it: offset ranges, records to rows, segments that are kept.

Everything here is still a log: what rows add up to is `training.data`.
"""
