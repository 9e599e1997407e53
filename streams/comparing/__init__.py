"""Comparing versions beside the answers: in the shadow of real requests, and for one user.

Never delays or changes an answer. Who answers is decided in `streams.serving`.
"""
