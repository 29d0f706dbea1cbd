"""The authority: ceremonies at which keys are made and objects signed, and the beat of a replica.

`ceremony` makes trust documents, epochs and orders; `rollout` puts them on the peers; `publisher`
runs one `Issuer`; `store` keeps its state.
"""
