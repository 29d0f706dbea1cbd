"""The signed objects: bytes in, typed values out.

`trust` says who may sign what, in the words of `trust_body`. `epoch`, `beat` and `halt` know trust
and not each other; what must hold between them is decided above, in `quorum`, `lease` and
`follower`.
"""
