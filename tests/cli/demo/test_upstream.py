"""The demo's service speaks enough of the OpenAI interface for the unmodified client."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import openai

MESSAGES: Any = [{"role": "user", "content": "hi"}]


async def test_the_openai_client_gets_plain_and_streamed_answers(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar.cli.demo.upstream", "--seen", seen,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        port = int(await child.stdout.readline())
        async with openai.AsyncOpenAI(
            api_key="none", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0
        ) as client:
            plain = await client.chat.completions.create(
                model="demo", messages=MESSAGES, max_tokens=3
            )
            assert plain.choices[0].message.content == "The gate is"
            stream: Any = await client.chat.completions.create(
                model="demo", messages=MESSAGES, max_tokens=3, stream=True
            )
            words = [chunk.choices[0].delta.content async for chunk in stream]
            assert words == ["The ", "gate ", "is ", None]
            assert [model.id async for model in client.models.list()] == ["demo"]
        assert seen.read_text().split() == ["none"] * 3
    finally:
        child.kill()
        await child.wait()
