# ruff: noqa: INP001 (mounted as a file of its own)
"""The fence, set up for this pod: servers like vLLM take a middleware by its name alone."""

from sidecar.fence.asgi import App, Fence


class ServiceFence(Fence):
    """`exempt` is what the signed route table exempts."""

    def __init__(self, app: App) -> None:
        super().__init__(app, "/run/epochgate/fence.key", exempt=["/health"])
