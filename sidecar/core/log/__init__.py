"""The tamper-evident log: records, the tree over them, and signed checkpoints.

Two independent chains hold the same bytes. Each record names the SHA-256 of the record before it,
so a reader can check a file as a stream; and each record is a leaf of an RFC 6962 tree, so one
signed root commits to all of them and one short proof shows that a record is among them.
"""
