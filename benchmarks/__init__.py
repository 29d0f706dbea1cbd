"""Benchmarks: what Epochgate costs, beside its peers. See README.md in this folder."""
