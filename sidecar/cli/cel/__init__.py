"""The build side of expressions: CEL text in, code out (`core/expression`).

`compiler` asks the CEL library for the checked syntax tree and says its complaints as people would;
`wire` and `tree` read what the library hands over; `lowering` makes code of what is within the
subset, and refuses the rest with the place and a hint. Only `compiler` imports the library, which
comes with the extra `policy` and is needed by nobody who only runs policies.
"""

from sidecar.cli.cel.compiler import compile_expression
from sidecar.cli.cel.error import CelError

__all__ = ["CelError", "compile_expression"]
