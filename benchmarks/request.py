"""The request of workload 1, and policies and routes that lead it somewhere.

The 13 headers are those that the Python client of OpenAI sends with a chat completion; the body is
1 KiB of JSON.
"""

import json
from collections.abc import Mapping, Sequence

from sidecar.core import canonical, policy, routes
from sidecar.core.canonical import Json
from sidecar.core.head import RequestHead

PATH = "/v1/chat/completions"
WILD_PATH = "/v2/models/llama/infer"
EXEMPT = "/health"
BODY_BYTES = 1024
HOST = "127.0.0.1"

HEADERS = {
    "Host": f"{HOST}:8000",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "OpenAI/Python 1.60.0",
    "X-Stainless-Lang": "python",
    "X-Stainless-Package-Version": "1.60.0",
    "X-Stainless-OS": "Linux",
    "X-Stainless-Arch": "x64",
    "X-Stainless-Runtime": "CPython",
    "Authorization": "Bearer sk-0123456789abcdefghijklmnopqrstuvwxyz0123456789",
    "Content-Length": str(BODY_BYTES),
}

# An expression of five clauses, as it is built: its text, for people, and the nodes that decide.
CLAUSES: dict[str, Json] = {
    "text": """request.headers["x-stainless-lang"] in ["python", "go"]
        && !request.headers["user-agent"].startsWith("curl/")
        && epoch.age < duration("24h") && lease.quorum >= 2 && lease.remaining > duration("0s")""",
    "code": [
        ["name", "request.headers"], ["string", "x-stainless-lang"], ["index_map", 0, 1],
        ["string", "python"], ["string", "go"], ["list", 3, 4], ["in_list", 2, 5],
        ["name", "request.headers"], ["string", "user-agent"], ["index_map", 7, 8],
        ["string", "curl/"], ["starts_with_string", 9, 10], ["logical_not", 11],
        ["name", "epoch.age"], ["duration", "86400000000000"], ["less_duration", 13, 14],
        ["name", "lease.quorum"], ["int", "2"], ["greater_equals_int64", 16, 17],
        ["name", "lease.remaining"], ["duration", "0"], ["greater_duration", 19, 20],
        ["logical_and", 6, 12, 15, 18, 21],
    ],
}  # fmt: skip

ANSWER = json.dumps({
    "id": "chatcmpl-0123456789", "object": "chat.completion", "created": 1700000000, "model": "m",
    "choices": [{
        "index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "The capital of France is Paris."},
    }],
    "usage": {"prompt_tokens": 200, "completion_tokens": 8, "total_tokens": 208},
})  # fmt: skip


def body() -> bytes:
    """A chat completion of exactly `BODY_BYTES`."""
    rest = len(_chat(""))
    return _chat("x" * (BODY_BYTES - rest))


def wire(*, keep: bool = True) -> bytes:
    """The request as it goes over the wire."""
    more = {} if keep else {"Connection": "close"}
    return wire_head(BODY_BYTES, **more) + body()


def wire_head(length: int, **more: str) -> bytes:
    """Its head, for a body of `length` bytes, with further headers."""
    headers = {**HEADERS, "Content-Length": str(length), **more}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode()


def head(method: bytes = b"POST", path: str = PATH) -> RequestHead:
    """The head, as the data plane would hold it."""
    headers = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS.items())
    return RequestHead(method, path.encode(), path.encode(), headers)


def policy_bytes(count: int, *, asks: bool = False) -> bytes:
    """A signed policy's bytes: `count` rules, the one that permits the request last.

    With `asks` that rule also asks for `CLAUSES`. From 4 rules on, one denies a tenant on the very
    path of the request, so that a header is looked at, and one permits by wildcard.
    """
    tenant = [{"name": "x-tenant", "value": "banned"}]
    last = [
        _rule("tenant", "deny", PATH, tenant),
        _rule("infer", "permit", "/v2/models/*/infer", []),
        _rule("chat", "permit", PATH, []),
    ]
    if asks:
        last[-1]["conditions"] = [{"expression": CLAUSES, "name": "clauses"}]
    last = last if count > len(last) else last[-1:]
    # Short, so that 10,000 of them fit into the megabyte that a bundle may have.
    first: list[dict[str, Json]] = [
        {
            "name": f"r{number}", "action": "permit", "methods": ["GET"], "paths": [f"/a/{number}"],
            "headers": [], "in_flight": "cut",
        }
        for number in range(count - len(last))
    ]  # fmt: skip
    rules = [*first, *last]
    return canonical.encode({"_type": policy.TYPE, "name": "bench", "rules": rules})


def routes_bytes(port: int) -> bytes:
    """A route table that leads everything to one loopback port."""
    return canonical.encode({
        "_type": routes.TYPE,
        "name": "bench",
        "upstreams": {"model": {"host": HOST, "port": port}},
        "routes": [{"name": "api", "paths": ["/v1/**", "/v2/**"], "upstream": "model"}],
        "exempt": [{"target": EXEMPT, "upstream": "model"}],
    })  # fmt: skip


def _chat(content: str) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


def _rule(
    name: str, action: str, path: str, headers: Sequence[Mapping[str, Json]]
) -> dict[str, Json]:
    return {
        "name": name, "action": action, "methods": ["POST"], "paths": [path], "headers": headers,
        "in_flight": "cut",
    }  # fmt: skip
