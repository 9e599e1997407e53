"""What a training reads and reports: interactions, items; run and result, checks, data report.

They are used in messages and manifests. Must not know how anything is computed.
"""
