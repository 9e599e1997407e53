"""New items on a worker: the thread that sends its shares, and follows what became of all.

The rules are in `registry.new_items`. No answers, no Faust.
"""
