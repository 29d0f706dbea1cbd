"""The only reader of configuration: every knob, its unit and its bound.

`sections` holds the values that the rest of the program is handed; `read` makes them from one YAML
file and `EPOCHGATE_*` variables, and reports everything that is wrong at once.
"""
