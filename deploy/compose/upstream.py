# ruff: noqa: INP001, a script that is mounted into a container
"""Stands for a model: answers like an OpenAI-compatible service, on loopback only."""

from aiohttp import web


async def complete(request: web.Request) -> web.Response:
    """One chat completion that says which model was asked for."""
    asked = await request.json()
    message = {"role": "assistant", "content": "The gate is open."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    model = str(asked.get("model", "stand-in"))
    return web.json_response({"object": "chat.completion", "model": model, "choices": [choice]})


async def models(_: web.Request) -> web.Response:
    """The one model there is."""
    return web.json_response({"object": "list", "data": [{"id": "stand-in", "object": "model"}]})


async def health(_: web.Request) -> web.Response:
    """Alive."""
    return web.Response(text="ok\n")


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/health", health)
    web.run_app(app, host="127.0.0.1", port=8000, print=None)
