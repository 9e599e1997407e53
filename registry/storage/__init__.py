"""Storages: named bytes in a local folder or in an object storage.

Nothing here knows what the bytes mean.
"""
