"""Who may call a worker, and how much: tokens and sessions, logins, limits, connections.

Everything here is decided before an endpoint is reached. Must not know any endpoint's work.
"""
