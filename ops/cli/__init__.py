"""The command line: one module a group of commands, their shared options, and views.

Commands parse, call and print; what they print is in `views`.
"""
