"""The HTTP surface of a worker: endpoints, who may call them, documents, problems.

Nothing here renders the page or decides a command.
"""
