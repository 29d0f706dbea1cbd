"""The world of the integration tests, for the processes as a whole."""

from tests.integration.conftest import peers, service, shared_valkeys, world

__all__ = ["peers", "service", "shared_valkeys", "world"]
