"""The settings, a module for each group: name, type, default, bounds and description of each.

`registry/settings.py` combines them, reads them, and refuses combinations that conflict. Nothing
here may know who uses a setting.
"""
