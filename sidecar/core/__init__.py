"""The protocol: what a sidecar and an authority must agree on.

Four rules hold in every file below this folder:

1. No I/O, no clock, no randomness, no logging. Time, nonces and jitter arrive as arguments.
2. A ladder of trust made of types: bytes -> Envelope -> Payload -> Trust, Epoch, Beat, Halt ->
   Agreement -> Lease -> Snapshot -> Permit. Each function climbs one rung and takes the type below.
3. Bytes from outside either become a value or raise `ProtocolError` with one reason. Nothing else.
4. Closed is the starting value: a snapshot without a lease denies, a policy without rules denies.

Reading order, bottom to top: `instant` and `reason` (words), `canonical` and `envelope` (bytes),
`log` (records, tree, checkpoints), `objects` (what is signed), `quorum`, `lease`, `policy`,
`routes` (what must hold), `snapshot` and `gate` (the answer), `follower` and `issuer` (the two
sides in motion). import-linter holds that order.
"""
