"""What a training tells: its run and result, the gate's checks, weights of events, the data report.

They travel in messages and stand in manifests. Must not know how anything is computed.
"""
