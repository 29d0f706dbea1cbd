"""The unmodified `openai` package as the client: plain, streamed, through containment and back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.integration.harness import TTL_MS, World

MESSAGES: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def client(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    await world.open()
    async with openai.AsyncOpenAI(
        api_key="test", base_url=world.sidecar.url + "/v1", max_retries=0
    ) as client:
        yield client


async def test_a_plain_completion_passes(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="m", messages=MESSAGES)
    assert answer.choices[0].message.content == "hello"


async def test_a_streamed_completion_passes_word_by_word(client: openai.AsyncOpenAI) -> None:
    stream: Any = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    words = [chunk.choices[0].delta.content async for chunk in stream]
    assert words == ["word "] * 5


async def test_containment_raises_the_clients_own_error_with_our_code(
    world: World, client: openai.AsyncOpenAI
) -> None:
    await world.hand.stop()
    await world.until(503, "EG102")
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="m", messages=MESSAGES)
    error = caught.value
    assert error.status_code == 503
    assert error.code == "EG102"
    assert "EG102" in error.message
    assert error.response.headers["x-should-retry"] == "true"
    assert 1 <= int(error.response.headers["retry-after"]) <= 30


async def test_a_retrying_client_gets_through_once_the_gate_recovers(
    world: World, client: openai.AsyncOpenAI
) -> None:
    """`x-should-retry: true` and `Retry-After` are honoured: no error reaches the caller."""
    await world.hand.stop()
    await world.until(503, "EG102")
    patient = client.with_options(max_retries=5)
    waiting = asyncio.ensure_future(patient.chat.completions.create(model="m", messages=MESSAGES))
    await asyncio.sleep(0)
    world.hand.start()
    answer = await waiting
    assert answer.choices[0].message.content == "hello"


async def test_a_halt_is_not_retried(world: World, client: openai.AsyncOpenAI) -> None:
    world.hand.put_order(world.hand.order())
    await world.until(503, "EG901")
    before = len(world.sidecar.records())
    with pytest.raises(openai.InternalServerError) as caught:
        await client.with_options(max_retries=5).chat.completions.create(
            model="m", messages=MESSAGES
        )
    assert caught.value.response.headers["x-should-retry"] == "false"
    denials = [line for line in world.sidecar.records()[before:] if line["type"] == "decision"]
    assert len(denials) == 1


async def test_a_stream_that_is_cut_raises_and_is_not_taken_for_complete(
    world: World, client: openai.AsyncOpenAI
) -> None:
    stream: Any = await client.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, max_tokens=1000
    )
    words = 0
    with pytest.raises(openai.APIError, match="EG102"):
        async for _ in stream:
            words += 1
            if words == 1:
                await world.hand.stop()
    assert 0 < words < TTL_MS / 20 * 2


async def test_a_policy_denial_is_the_clients_permission_error(
    client: openai.AsyncOpenAI,
) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        await client.models.list()
    assert caught.value.code == "EG204"
