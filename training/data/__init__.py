"""From the interaction topic to a matrix: log, ranges, segments, snapshot, cells, weights.

Nothing here fits or judges.
"""
