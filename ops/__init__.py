"""What people use: command line, clients, demo, local brokers, benchmarks, documentation.

On top of everything; nothing imports it.
"""
