"""The settings, a module for each group: name, type, default, bounds and description of each.

`registry/settings.py` puts them together, reads them, and says which do not go together. What
lives here must not know who uses a setting.
"""
