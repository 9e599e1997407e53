"""What a training reports: its run and result, the gate's checks, weights of events, the data
report.

They are used in messages and manifests. Must not know how anything is computed.
"""
