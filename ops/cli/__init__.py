"""The command line: one module a group of commands, and their shared options.

Commands parse, call and print; what they print is in `views`.
"""
