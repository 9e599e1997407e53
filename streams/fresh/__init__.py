"""Fresh interactions on a worker: a thread that follows them, and what the loop knows of it.

What is fresh, and for whom, is decided in `registry.fresh`. No answers and no scoring here.
"""
