"""What operators see: counters, log lines, probes, state.

Nothing here decides. `observer` is handed core values and turns them into `metrics` and `logs`;
`admin` serves them on the status port.
"""
