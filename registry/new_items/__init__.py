"""New items: vectors for items that a version does not know, and how they join its lists.

Pure: arrays, frozen values and records. No Kafka, no files, no clock, no settings.
"""
