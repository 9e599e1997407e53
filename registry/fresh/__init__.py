"""Fresh interactions: those at or after the end of a version's snapshot, and their effects.

Pure: frozen values and arrays. No Kafka, no files, no clock, no settings.
"""
