"""The status page: status values, their collection, rendering, charts, templates.

Read only; the buttons post to `streams.http`.
"""
