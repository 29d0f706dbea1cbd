"""Which build is under test: the code as it is written, or its hot path compiled."""

import pytest

from sidecar.proxy import exchange

COMPILED = not str(exchange.__file__).endswith(".py")
WHY = "replaces a method, which a compiled class does not allow"
replaces_a_method = pytest.mark.skipif(COMPILED, reason=WHY)
