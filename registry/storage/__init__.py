"""Storages: named bytes in a folder of this machine or in an object storage.

Nothing here knows what the bytes mean.
"""
