"""Fresh interactions: those at or after the end of a version's snapshot, kept in memory by user.

Pure: frozen values and arrays. No Kafka, no files, no clock; their effects: `registry.fold_in`.
"""
