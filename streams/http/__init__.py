"""The HTTP surface of a worker: endpoints, what answers them, documents, problems.

Nothing here renders the page or decides a command.
"""
