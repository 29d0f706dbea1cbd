"""The world of the integration tests, for the processes as a whole."""

from tests.integration.conftest import forks, peers, service, shared_valkeys, world

__all__ = ["forks", "peers", "service", "shared_valkeys", "world"]
