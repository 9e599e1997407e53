"""Reference pages, made from the code.

``make docs`` writes them; tests compare them.
"""
