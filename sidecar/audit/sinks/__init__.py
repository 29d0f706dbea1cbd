"""What copies the log to other places, out of band.

    journal on disk -> sealed (how far it is signed) -> feed (whole lines) -> pump -> outlet
                                                          |                    |
                                                        cursor  <-  acknowledged

Rules:

* Only what stands under a signed, durable checkpoint is sent: no power loss takes it back.
* At least once, and in order within each log: the cursor moves when a batch was acknowledged, and
  the next batch is read from the cursor. Whoever receives tells repeats by `seq`.
* Nothing is dropped to make room: the journal is the buffer, and memory holds one batch per log.
* No request and no decision waits for a sink. The only arrow back is a passing hold, for a sink
  that the configuration calls required.
* A receiver is outside: whatever it answers, the sidecar goes on, and tries again.

Source: conventions 3.3.
"""
