"""Which build is under test: the code as it is written, or its hot path compiled; and on what.

The tests of what is written run on both event loops: what it expects of a loop is then what any
loop keeps. What is compiled says the same as that, and is shipped on uvloop alone.
"""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from sidecar.proxy import exchange

COMPILED = not str(exchange.__file__).endswith(".py")
WHY = "replaces a method, which a compiled class does not allow"
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop} | (
    {} if COMPILED else {"asyncio": asyncio.SelectorEventLoop}
)
replaces_a_method = pytest.mark.skipif(COMPILED, reason=WHY)
