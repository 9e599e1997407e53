"""Storage: named bytes in a local folder or in object storage.

Nothing here knows what the bytes mean.
"""
