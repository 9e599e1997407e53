"""Fold-in: a user's vector solved anew from learned cells and fresh interactions, and what ranks.

Pure: frozen values and arrays. No Kafka, no files, no clock, no settings.
"""
