"""What the benchmarks stand on: brokers, traffic, readers of answers, figures, reports.

Nothing here is a benchmark.
"""
