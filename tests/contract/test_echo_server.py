"""The echo server over real sockets: what a client sees of each way to answer and to fail, and what is recorded."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import anyio
import anyio.abc
import httpx
import orjson
import pytest
import zstandard

from actors.echo.server import PortError, serving
from tests.contract.echo_scene import DEADLINE, PROMPT, ask, drain, finished, kinds, raw, with_echo


def test_streams_and_documents_say_the_same() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        streamed = await ask(client, "say hi")
        assert streamed.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (kinds(streamed)[0], kinds(streamed)[-1]) == ("response.created", "response.completed")
        document = await ask(client, "say hi", stream=False)
        assert document.json()["output"][0]["content"][0]["text"] == "You said: say hi"
        first, second = await finished(client, 2)
        assert (first["state"], first["status"], first["events_sent"]) == ("completed", 200, 12)
        assert first["bytes_sent"] == len(streamed.content)
        assert second["response_id"] == document.json()["id"]
        assert second["usage"]["total"] == document.json()["usage"]["total_tokens"]

    with_echo(test)


def test_the_second_request_of_a_cache_key_reports_cached_input() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        async def usage(prompt: str) -> tuple[int, int]:
            counted = (await ask(client, prompt, stream=False, prompt_cache_key="k")).json()["usage"]
            return counted["input_tokens"], counted["input_tokens_details"]["cached_tokens"]

        assert await usage("12345678") == (2, 0)
        assert await usage("123456789012") == (3, 2)
        assert (await ask(client, "[echo status=500]", prompt_cache_key="k")).status_code == 500
        assert await usage("1234") == (1, 1)

    with_echo(test)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_compressed_bodies_are_read(coding: str) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        plain = orjson.dumps(PROMPT)
        packed = gzip.compress(plain) if coding == "gzip" else zstandard.compress(plain)
        answer = await client.post("/v1/responses", content=packed, headers={"content-encoding": coding})
        assert kinds(answer)[-1] == "response.completed"
        (seen,) = await finished(client)
        assert (seen["body_bytes"], seen["decoded_bytes"]) == (len(packed), len(plain))
        broken = await client.post("/v1/responses", content=plain, headers={"content-encoding": coding})
        assert (broken.status_code, broken.json()["error"]["code"]) == (400, "content_encoding")

    with_echo(test)


def test_statuses_have_their_body_and_headers() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        answer = await ask(client, '[echo status=429 retry-after=2 message=slow header="x-left: 0"]')
        assert (answer.status_code, answer.headers["retry-after"], answer.headers["x-left"]) == (429, "2", "0")
        assert answer.json()["error"]["message"] == "slow"
        assert (await ask(client, "[echo status=503 body=sorry]")).text == "sorry"
        assert (await ask(client, "[echo status=204]")).content == b""

    with_echo(test)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (("POST", "/v1/responses", b"{", {}), 400, "invalid_body"),
        (("POST", "/v1/responses", b'{"input": "[echo stauts=1]"}', {}), 400, "echo_directive"),
        (("POST", "/v1/responses", b"x", {"content-encoding": "br"}), 415, "content_encoding"),
        (("GET", "/v1/responses", b"", {"upgrade": "websocket", "connection": "upgrade"}), 426, "upgrade_refused"),
        (("GET", "/v1/responses", b"", {}), 405, "method_not_allowed"),
        (("POST", "/v1/completions", b"{}", {}), 404, "not_found"),
        (("POST", "/v1/chat/completions", b"{}", {}), 400, "invalid_body"),
        (("GET", "/", b"", {"host": "evil.example"}), 403, "host_refused"),
        (("POST", "/v1/responses", b"{}", {"origin": "http://127.0.0.1"}), 403, "origin_refused"),
        (("DELETE", "/control", b"", {"sec-fetch-site": "cross-site"}), 403, "origin_refused"),
        (("POST", "/control/next", b'{"mode": "x=1"}', {}), 400, "echo_mode"),
        (("GET", "/control/requests?after=x", b"", {}), 400, "echo_query"),
        (("GET", "/control/requests?wait=1000", b"", {}), 400, "echo_query"),
        (("GET", "/control/requests?wait=nan", b"", {}), 400, "echo_query"),
    ],
)
def test_refusals_are_typed(request_: tuple[str, str, bytes, dict[str, str]], status: int, code: str) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        method, path, body, headers = request_
        answer = await client.request(method, path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)

    with_echo(test)


def test_every_dialect_is_served_and_counted_in_its_own_words() -> None:
    hi = [{"role": "user", "content": "say hi"}]
    parts = [{"role": "user", "parts": [{"text": "say hi"}]}]

    async def test(client: httpx.AsyncClient) -> None:
        chat = await client.post("/v1/chat/completions", json={"model": "m", "messages": hi})
        assert chat.json()["choices"][0]["message"]["content"] == "You said: say hi"
        message = await client.post("/v1/messages?beta=true", json={"model": "m", "messages": hi})
        assert message.json()["content"] == [{"type": "text", "text": "You said: say hi"}]
        counted = await client.post("/v1/messages/count_tokens", json={"model": "m", "messages": hi})
        assert counted.json() == {"input_tokens": 2}
        google = "/v1beta/models/gemini-2.5-pro"
        generated = await client.post(f"{google}:generateContent", json={"contents": parts})
        assert generated.json()["candidates"][0]["content"]["parts"] == [{"text": "You said: say hi"}]
        streamed = await client.post(f"{google}:streamGenerateContent?alt=sse", json={"contents": parts})
        assert streamed.headers["content-type"] == "text/event-stream"
        assert (await client.post(f"{google}:countTokens", json={"contents": parts})).json() == {"totalTokens": 2}
        refused = [
            await client.post(f"{google}:streamGenerateContent", json={"contents": parts}),
            await client.post(f"{google}:embedContent", json={}),
        ]
        assert [answer.status_code for answer in refused] == [400, 404]
        records = await finished(client, 5)
        dialects = [record["dialect"] for record in records if record["dialect"]]
        assert dialects == ["openai.chat", "anthropic.messages", "gemini.generate", "gemini.generate"]
        assert records[1]["response_id"] == message.json()["id"]

    with_echo(test)


def test_models_are_listed() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        models = (await client.get("/v1/models")).json()
        assert (models["object"], [model["id"] for model in models["data"]]) == ("list", ["echo", "gpt-5.1-codex"])
        assert (await client.get("/v1/models", params={"client_version": "0.169.0"})).json() == {"models": []}
        claude = (await client.get("/v1/models", headers={"anthropic-version": "2023-06-01"})).json()
        assert (claude["first_id"], claude["has_more"]) == ("echo", False)
        gemini = (await client.get("/v1beta/models")).json()
        assert [model["name"] for model in gemini["models"]] == ["models/echo", "models/gpt-5.1-codex"]
        assert (await client.get("/v1/models/echo")).json()["id"] == "echo"
        assert (await client.get("/v1beta/models/echo")).json()["name"] == "models/echo"
        assert [(await client.get(path)).status_code for path in ("/v1/models/none", "/v1beta/models/none")] == [404, 404]
        assert (await client.post("/auggie/get-models", content=b"{}")).json()["default_model"] == "echo"
        assert (await client.post("/auggie/agents/list-remote-tools", content=b"{}")).json() == {"tools": []}
        assert (await client.post("/auggie/what-is-this", content=b"{}")).status_code == 404

    with_echo(test)


@pytest.mark.parametrize("mode", ["cut=3", "cut=0", "cut=head", "reset=3", "reset=head", "garbage=head"])
def test_broken_connections_are_errors_for_the_client(mode: str) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.TransportError):
            await ask(client, f"[echo {mode}]")
        (seen,) = await finished(client)
        assert seen["state"] == "faulted"
        assert seen["status"] == (None if "head" in mode else 200)

    with_echo(test)


def test_a_cut_stream_is_an_unfinished_message_and_a_reset_is_a_reset() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        async with raw(client, "[echo cut=3]") as stream:
            received = await drain(stream)
        assert received.count(b"data: ") == 3
        assert not received.endswith(b"0\r\n\r\n")
        async with raw(client, "[echo reset=head]") as stream:
            with pytest.raises(anyio.BrokenResourceError):
                await drain(stream)

    with_echo(test)


def test_a_stream_can_end_without_its_last_event() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        assert kinds(await ask(client, "[echo end=2]")) == ["response.created", "response.in_progress"]
        answer = await ask(client, "[echo garbage=1]")
        assert kinds(answer) == ["response.created"]
        assert b"\xff\xfe not an event" in answer.content
        assert kinds(await ask(client, "[echo failed=server_error]"))[-1] == "response.failed"
        assert kinds(await ask(client, "[echo error=server_error]"))[-1] == "error"
        assert kinds(await ask(client, "[echo incomplete=max_output_tokens]"))[-1] == "response.incomplete"

    with_echo(test)


@pytest.mark.parametrize(("mode", "events"), [("silence=2", 2), ("silence=0", 0), ("words=2000 pace=30s", 4)])
def test_a_client_that_leaves_a_silent_stream_is_recorded(mode: str, events: int) -> None:
    async def test(client: httpx.AsyncClient) -> None:
        request = client.build_request("POST", "/v1/responses", json={**PROMPT, "input": f"[echo {mode}]"})
        response = await client.send(request, stream=True)
        assert response.status_code == 200
        received = b""
        chunks = response.aiter_raw()
        while received.count(b"\n\n") < events:
            received += await anext(chunks)
        await response.aclose()
        (seen,) = await finished(client)
        assert (seen["state"], seen["cancelled"], seen["events_sent"]) == ("cancelled", True, events)

    with_echo(test)


def test_a_head_that_never_comes() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        async with raw(client, "[echo silence=head]"):
            query = {"count": 1, "wait": 15}
            (open_,) = (await client.get("/control/requests", params=query)).json()["requests"]
            assert (open_["state"], open_["status"]) == ("open", None)
        (seen,) = await finished(client)
        assert (seen["state"], seen["status"], seen["bytes_sent"]) == ("cancelled", None, 0)

    with_echo(test)


def test_modes_can_be_queued_for_coming_requests() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        modes = [{"mode": {"status": 503}, "count": 2}, {"mode": "say=special", "session": "s1"}]
        assert (await client.post("/control/next", json=modes)).json() == {"waiting": 3}
        special = await ask(client, "[echo status=400]", stream=False, headers={"session-id": "s1"})
        assert special.status_code == 503
        assert (await ask(client, "x")).status_code == 503
        special = await ask(client, "[echo status=400]", stream=False, headers={"session-id": "s1"})
        assert special.json()["output"][0]["content"][0]["text"] == "special"
        assert (await ask(client, "x")).status_code == 200
        seen = await finished(client, 4)
        assert [each["mode_source"] for each in seen] == ["control", "control", "control", "default"]
        await client.post("/control/next", json=modes)
        assert (await client.delete("/control")).status_code == 200
        assert (await ask(client, "x")).status_code == 200

    with_echo(test)


def test_records_hold_no_prompt_and_no_credential() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        headers = {"authorization": "Bearer sk-canary", "session-id": "s", "thread-id": "t"}
        await ask(client, 'prompt-canary [echo say="reply-canary" message=message-canary]', headers=headers)
        answer = await client.get("/control/requests")
        assert "canary" not in answer.text
        (seen,) = answer.json()["requests"]
        assert (seen["session"], seen["thread"], seen["path"]) == ("s", "t", "/v1/responses")
        assert dict(seen["headers"])["authorization"].startswith("sha256:")
        assert len(seen["body_sha256"]) == 64

    with_echo(test)


def test_many_requests_at_once() -> None:
    async def test(client: httpx.AsyncClient) -> None:
        answers: list[httpx.Response] = []

        async def one(number: int) -> None:
            answers.append(await ask(client, f"[echo deltas=20 pace=1ms] {number}"))

        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(one, number)
        assert all(kinds(answer)[-1] == "response.completed" for answer in answers)
        assert len({seen["response_id"] for seen in await finished(client, 40)}) == 40

    with_echo(test)


def test_a_taken_port_says_what_to_do() -> None:
    async def main() -> None:
        async with serving(0) as port:
            with pytest.raises(PortError, match=rf"127\.0\.0\.1:{port}: .* set \[echo\] port"):
                async with serving(port):
                    pass

    anyio.run(main)


def test_it_runs_alone_and_stops_when_asked() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "actors.echo", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        base = process.stdout.readline().decode().split()[-1]
        answer = httpx.post(f"{base}/responses", json={"model": "echo", "input": "hi"}, timeout=DEADLINE)
        assert json.loads(answer.text)["status"] == "completed"
        with httpx.stream("POST", f"{base}/responses", json={**PROMPT, "input": "[echo silence=1]"}, timeout=DEADLINE) as open_:
            assert open_.status_code == 200
            process.terminate()
            _, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, errors) == (0, b"")
