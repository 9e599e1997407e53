"""Following the items topic: which items no answer of this worker may show.

An edge around `registry.catalogue`; no rule of its own, and no Faust.
"""
