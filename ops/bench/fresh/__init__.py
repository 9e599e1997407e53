"""What following the interactions costs, and how soon they count; what joining outcomes costs.

Only benchmarks of that live here.
"""
