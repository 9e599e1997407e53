"""From rows of the interaction topic to a matrix: snapshot, cells, census, weights.

Nothing here fits or judges.
"""
