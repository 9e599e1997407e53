"""``recstream experiment``: options only; what may be concluded is in `registry.outcomes`."""
