"""How this process meets its peers and its own disk; the rules are in core.

`peer` speaks to one Redis server, `driver` feeds the follower, `store` keeps its marks.
"""
