"""`recstream doctor`: everything that can be wrong with an installation, checked at once.

Composes the checks that workers and commands make themselves; says what to do about each fault.
Changes nothing, but for one object in the registry that it writes and removes.
"""
