"""The other end of the fence: runs in the service, and refuses what comes too late.

A sidecar can be stopped between its last look at the clock and its write. No sidecar can prevent
that; only the receiver can still say no. These few lines are the receiver's part: they check a MAC
and two deadlines that the sidecar adds to each permitted request, before the application runs.

    check    pure: one request, one key, two clock readings -> pass, or why not
    guard    the key file and the clocks
    asgi, wsgi    middleware for the two interfaces of Python services

Rules:

* Nothing is imported but the standard library and this folder, so it can be copied into the image
  of a service, which needs nothing else of Epochgate.
* What cannot be verified is refused: no key, no exact request target, a field twice.

Source: hardening E-G7, P4; README.md here says how to use it and how to write it elsewhere.
"""
