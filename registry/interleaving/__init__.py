"""Interleaving: one answer from the lists of two versions, and which version users prefer by it.

Pure: lists and counts in, drafts and words out. No model, no Kafka, no setting.
"""
