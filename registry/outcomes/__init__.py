"""Outcomes: which answer gets the credit for what a user did, and which arm users like better.

Pure: sums of users in, intervals and words out. No Kafka, no clock, no setting.
"""
