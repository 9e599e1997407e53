"""What following the interactions costs, and how soon they count: ``bench fresh``.

Only benchmarks of that live here.
"""
