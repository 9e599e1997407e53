"""Fresh interactions: those at or after the end of a version's snapshot, and what becomes of them.

Pure: frozen values and arrays. No Kafka, no files, no clock, no settings.
"""
