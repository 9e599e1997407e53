"""The path of a request: slices to batch, routing, scoring, answers, counts.

No control command is decided here, and no page is rendered.
"""
