"""The commands of experiments: ``recstream experiment``.

As all commands, they parse, call and print; what may be concluded is in `registry.outcomes`.
"""
