"""The report of a run, for people: pages, drawings, templates.

Nothing is computed here that the run did not find.
"""
