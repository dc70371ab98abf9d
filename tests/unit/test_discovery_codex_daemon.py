"""What Codex's shared daemon is asked, and what is believed of its answers: playbooks of the dialogue and of its framing."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha1
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.discovery.codex_daemon import (
    MAX_THREADS,
    DaemonRefusedError,
    Inquiry,
    Listening,
    begin,
    opened_threads,
    openings,
    step,
)
from actors.runtime import websocket
from actors.runtime.websocket import Incoming, Message, WebSocketError, frame, receive, upgrade_request
from schemas.identity import ProcessKey
from tests.discovery.codex_daemon import FIRST, SECOND, TITLE, Daemon

TUI_A = Listening(ProcessKey(host="h", boot="b", pid=5660, started=100), 1000.0)
TUI_B = Listening(ProcessKey(host="h", boot="b", pid=5670, started=101), 1000.1)
LOADED = {FIRST: 1001.0, SECOND: 1001.0}


def ask(daemon: Daemon) -> Inquiry:
    inquiry, due = begin("0.169.0")
    queue = list(due)
    while queue:
        request = json.loads(queue.pop(0))
        if "id" not in request:
            continue
        inquiry, more = step(inquiry, b'{"method":"configWarning","params":{}}')
        assert more == ()
        inquiry, more = step(inquiry, json.dumps(daemon.answer(request)).encode())
        queue += more
    return inquiry


def test_each_thread_is_joined_to_the_tui_that_listens_where_the_daemon_says() -> None:
    inquiry = ask(Daemon({FIRST: "http://127.0.0.1:38537", TITLE: None, SECOND: "http://127.0.0.1:39429"}))
    assert inquiry.done
    found = openings(inquiry, {38537: TUI_A, 39429: TUI_B}, LOADED)
    assert [(one.process.pid, one.thread, one.session) for one in found] == [
        (5660, FIRST, f"codex-{FIRST}"),
        (5670, SECOND, f"codex-{SECOND}"),
    ]
    assert {(one.evidence.rank, one.evidence.kind, one.evidence.value) for one in found} == {
        (3, "codex_daemon", f"codex:{FIRST}"),
        (3, "codex_daemon", f"codex:{SECOND}"),
    }


def test_the_daemon_is_introduced_to_nobody_new_and_asked_one_thread_after_the_other() -> None:
    _, (hello,) = begin("0.169.0")
    assert json.loads(hello)["params"]["clientInfo"]["name"] == "codex_app_server_daemon"
    daemon = Daemon({FIRST: None, SECOND: None})
    assert ask(daemon).done
    assert daemon.asked == ["initialize", "thread/loaded/list", *["thread/read", "mcpServerStatus/list"] * 2]
    assert len(ask(Daemon({f"t-{n}": None for n in range(MAX_THREADS + 9)})).threads) == MAX_THREADS


@pytest.mark.parametrize(
    "origin",
    [
        "https://127.0.0.1:38537",
        "http://example.org:38537",
        "http://0.0.0.0:38537",
        "http://127.0.0.1",
        "http://127.0.0.1:38537/x",
        "",
        7,
    ],
)
def test_an_address_that_is_no_port_of_this_computer_joins_nothing(origin: Any) -> None:
    assert opened_threads(ask(Daemon({FIRST: origin}))) == ()


def test_an_opener_that_is_gone_or_younger_than_the_thread_joins_nothing() -> None:
    inquiry = ask(Daemon({FIRST: "http://127.0.0.1:38537"}))
    assert openings(inquiry, {}, LOADED) == ()
    reused = Listening(TUI_A.process, started=1001.2)
    assert openings(inquiry, {38537: reused}, LOADED) == ()
    assert openings(inquiry, {38537: TUI_A}, {}) == ()


def test_a_tui_has_what_it_opened_last_and_nobody_what_is_resumed_elsewhere() -> None:
    both = ask(Daemon({FIRST: "http://127.0.0.1:38537", SECOND: "http://127.0.0.1:38537"}))
    (last,) = openings(both, {38537: TUI_A}, {FIRST: 1001.0, SECOND: 1002.0}, [TUI_A])
    assert last.thread == SECOND
    resuming = Listening(TUI_B.process, 1003.0, SECOND)
    assert openings(both, {38537: TUI_A}, {FIRST: 1001.0, SECOND: 1002.0}, [TUI_A, resuming]) == ()
    moved_on = ask(Daemon({FIRST: "http://127.0.0.1:38537", SECOND: "http://127.0.0.1:39429"}))
    resuming = Listening(TUI_B.process, 1000.1, FIRST)
    found = openings(moved_on, {38537: TUI_A, 39429: resuming}, LOADED, [TUI_A, resuming])
    assert [(one.process, one.thread) for one in found] == [(TUI_A.process, FIRST), (TUI_B.process, SECOND)]


def test_a_thread_that_is_unloaded_meanwhile_is_left_out() -> None:
    refused = {"error": {"code": -32600, "message": "thread not loaded"}, "result": None}
    inquiry = ask(Daemon({FIRST: "http://127.0.0.1:38537"}, **{"thread/read": refused}))
    assert inquiry.done
    assert opened_threads(inquiry) == ()


def test_a_daemon_that_refuses_or_talks_nonsense_is_named() -> None:
    for method in ("initialize", "thread/loaded/list"):
        with pytest.raises(DaemonRefusedError, match="not now"):
            ask(Daemon({}, **{method: {"result": None, "error": {"message": "not now"}}}))
    with pytest.raises(DaemonRefusedError, match="not JSON"):
        step(begin("0")[0], b"\xff")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 20) | st.text(max_size=8),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(("id", "result", "data", "thread", "sessionId", "httpOrigin", "name", "error")), x
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_whatever_makes_it_fail_otherwise(said: Any) -> None:
    inquiry, _ = begin("0")
    for _ in range(3):
        try:
            inquiry, _ = step(inquiry, json.dumps(said).encode())
        except DaemonRefusedError:
            return
        opened_threads(inquiry)


KEY = bytes(range(16))
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %b\r\n\r\n" % b64encode(
    sha1(b64encode(KEY) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324 - RFC 6455 names it
)


def from_server(content: bytes, opcode: int = websocket.TEXT, *, final: bool = True) -> bytes:
    size = len(content)
    head = (
        bytes([size])
        if size < 126
        else b"\x7e" + size.to_bytes(2, "big")
        if size < 65536
        else b"\x7f" + size.to_bytes(8, "big")
    )
    return bytes([(0x80 if final else 0) | opcode]) + head + content


@given(st.lists(st.binary(max_size=400), max_size=6), st.integers(1, 50))
def test_messages_come_out_as_they_went_in_however_the_bytes_are_cut(contents: list[bytes], cut: int) -> None:
    wire = UPGRADED + b"".join(from_server(content) for content in contents)
    state, got = Incoming(), list[Message]()
    for at in range(0, len(wire), cut):
        state, messages = receive(state, wire[at : at + cut], KEY)
        got += messages
    assert got == [Message(websocket.TEXT, content) for content in contents]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 70000])
def test_frames_of_every_length(size: int) -> None:
    content = b"x" * size
    _, messages = receive(Incoming(upgraded=True), from_server(content), KEY)
    assert messages == (Message(websocket.TEXT, content),)
    sent = frame(content, b"\x01\x02\x03\x04")
    assert len(sent) == size + 4 + len(from_server(content)) - size
    assert sent[1] & 0x80


def test_fragments_are_put_together_and_control_frames_pass_between_them() -> None:
    wire = from_server(b"one ", final=False) + from_server(b"are you there", websocket.PING) + from_server(b"two", 0)
    _, messages = receive(Incoming(upgraded=True), wire, KEY)
    assert messages == (Message(websocket.PING, b"are you there"), Message(websocket.TEXT, b"one two"))


@pytest.mark.parametrize(
    "received",
    [
        b"HTTP/1.1 401 Unauthorized\r\n\r\n",
        UPGRADED.replace(b"Accept: ", b"Accept: x"),
        b"HTTP/1.1 101 Switching Protocols\r\n" + b"a: b\r\n" * 4000,
        UPGRADED + b"\x81\x85abcdefghi",
        UPGRADED + b"\x82\x01x",
        UPGRADED + b"\x81\x7f" + (1 << 40).to_bytes(8, "big"),
    ],
)
def test_what_is_no_websocket_is_refused(received: bytes) -> None:
    with pytest.raises(WebSocketError):
        receive(Incoming(), received, KEY)


def test_the_upgrade_is_asked_for_with_the_key() -> None:
    assert b64encode(KEY) in upgrade_request(KEY)
