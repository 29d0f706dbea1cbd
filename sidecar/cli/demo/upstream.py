"""A small OpenAI-compatible service to stand behind the demo's sidecar. It invents its answers.

Run as a process of its own. It prints the port it listens on, and appends the decision id of every
request that reaches it to a file, so that the demo can compare what arrived with what was recorded.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

SENTENCE = "The gate is open only while the authority vouches for what runs here ."
WORDS = SENTENCE.split()
SEEN: web.AppKey[int] = web.AppKey("seen", int)
TOKEN_S = 0.02


def chunk(text: str | None) -> bytes:
    """One server-sent event of a chat completion; None ends the choice."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if text is None else None}
    body = {"id": "demo", "object": "chat.completion.chunk", "model": "demo", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


async def words(count: int) -> AsyncIterator[str]:
    """So many words, one every `TOKEN_S` seconds."""
    for index in range(count):
        yield WORDS[index % len(WORDS)] + " "
        await asyncio.sleep(TOKEN_S)


async def completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat/completions and /v1/completions, plain or streamed."""
    note(request)
    asked = await request.json()
    count = min(int(asked.get("max_tokens", len(WORDS))), 10_000)
    if not asked.get("stream"):
        text = " ".join(WORDS[index % len(WORDS)] for index in range(min(count, len(WORDS))))
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": count + 1}
        return web.json_response(
            {
                "id": "demo", "object": "chat.completion", "created": 0, "model": "demo",
                "choices": [choice], "usage": usage,
            }
        )  # fmt: skip
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    async for word in words(count):
        await response.write(chunk(word))
    await response.write(chunk(None) + b"data: [DONE]\n\n")
    return response


async def models(request: web.Request) -> web.Response:
    """GET /v1/models."""
    note(request)
    return web.json_response({"object": "list", "data": [{"id": "demo", "object": "model"}]})


async def health(_request: web.Request) -> web.Response:
    """GET /health: exempt from the gate."""
    return web.Response(text="ok\n")


def note(request: web.Request) -> None:
    """Write down that a request arrived, before anything is answered."""
    line = request.headers.get("x-epochgate-decision-id", "none") + "\n"
    os.write(request.app[SEEN], line.encode())


def main() -> None:
    """Listen on a free loopback port until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seen", type=Path, required=True)
    options = parser.parse_args()
    app = web.Application()
    app[SEEN] = os.open(options.seen, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    app.router.add_post("/v1/chat/completions", completions)
    app.router.add_post("/v1/completions", completions)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/health", health)
    asyncio.run(serve(app))


async def serve(app: web.Application) -> None:
    """Bind, say where, and wait for the end."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
