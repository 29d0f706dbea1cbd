"""The data plane: one HTTP/1.1 client connection in, at most one upstream connection out.

Read in this order:

* `fields`, `shell`: bytes to a request head, or a reason why not. `answer`: the same for responses.
* `body`: where a message ends. `http1`: heads and chunks written anew. `denial`: our own answers.
* `upstream`: the connection behind; nothing is sent without a permit or an exemption.
* `exchange`: one request and its response: decide, journal, look at the clocks, write, relay, cut.
* `downstream`: one client connection. `listener`: what is listened on, and where that may lead.
* `server`: all of it, and what is shared.

Source: DESIGN 3; RFC 9110, RFC 9112.
"""
