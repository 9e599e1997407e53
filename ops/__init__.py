"""What people use: the command line, the demo, the embedded broker, benchmarks and dashboards.

Sits on top of everything: it may import any of the other packages, and none of them imports it.
"""
