"""Clients of a running fleet: Kafka, worker pages, heartbeats, traffic.

Used by the command line, the demo and the benchmarks.
"""
