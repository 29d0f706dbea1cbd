"""The tamper-evident log on disk.

    recorder -> journal -> (thread) disk          the hot path ends when pwrite returned
                   |
               sequencer -> tree -> checkpoint    out of band
    reader, chain, recovery                        the way back: check what is there
    prover, query                                  what others get to see of it
    disk, prune, beginning                         how much room it takes, and what goes

Rules:

* Audit before effect: a permit's record is with the kernel before a byte goes upstream.
* Full, slow or broken audit denies: the only arrow back is a hold, placed through a callback.
* After the first error nothing is written with that journal again; a restart has to recover first.

What this folder alone cannot show: someone who may write here and holds the instance key can write
another history. That takes a second party who remembers the checkpoints.
"""
