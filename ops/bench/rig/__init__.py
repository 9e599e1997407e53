"""Common parts of the benchmarks: brokers, traffic, readers of answers, figures, reports.

Nothing here is a benchmark.
"""
