"""``recstream demo``: the tour, its fleet, and the data that it ships.

MovieLens, for research use; see README.txt.
"""
