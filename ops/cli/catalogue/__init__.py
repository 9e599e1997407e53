"""The commands of the catalogue: ``recstream items``.

As all commands, they parse, call and print.
"""
