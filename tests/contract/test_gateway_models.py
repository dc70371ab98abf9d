"""Which models there are, as a gateway on real sockets tells it: every provider together, in the shape of who asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway_scene import Line, Scene, scene

pytestmark = pytest.mark.e2e

ANTHROPIC = {"anthropic_version": "2023-06-01"}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        yield subject


def get(stage: Scene, path: str, **fields: str) -> tuple[int, dict[str, str], Any]:
    line = stage.call()
    line.send(stage.head(path, b"", **fields).replace(b"POST ", b"GET ", 1))
    status, answered, body = line.answer()
    return status, answered, json.loads(body)


def ids(listed: Any) -> list[str]:
    return [one["id"] for one in listed["data"]]


def tells(stage: Scene, *documents: object, status: int = 200) -> list[tuple[str, dict[str, str]]]:
    """Let the provider answer each connection with a document; return what it was asked."""
    asked: list[tuple[str, dict[str, str]]] = []

    def part(document: object, line: Line) -> None:
        first, fields, _ = line.request()
        asked.append((first, fields))
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        line.send(head.encode() + body)

    for document in documents:
        stage.provider.plays(partial(part, document))
    return asked


def other(name: str, port: int, **more: str) -> str:
    table = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[providers.{name}]\nbase_url = "http://127.0.0.1:{port}/v1"\nauth = "none"\n{table}'


def test_lists_are_put_together_with_the_default_provider_s_first(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_KEY", "canary-of-models-01")
    more = other("aside", 9, models='["b", "c"]', aliases='{fast = "c"}', dialects='["openai.chat"]')
    more += other("claude", 9, models='["opus"]', dialects='["anthropic.messages"]')
    more += other("off", 9, models='["z"]', enabled="false")
    stage.configure(more, auth="key", key="env:OWN_KEY", aliases={"a-alias": "a"})
    stage.start(bus=False)
    asked = tells(stage, {"object": "list", "data": [{"id": "a", "context_length": 7, "owned_by": "x"}, {"id": "b", "n": 1}]})
    status, fields, listed = get(stage, "/v1/models", authorization="Bearer callers-own")
    assert (status, ids(listed)) == (200, ["a", "b", "a-alias", "c", "fast"])
    assert listed["data"][0] == {"id": "a", "context_length": 7, "owned_by": "x"}
    assert listed["data"][3] == {"id": "c", "object": "model", "created": 0, "owned_by": "aside"}
    assert "x-tabwire-models-missing" not in fields
    first, sent = asked[0]
    assert (first, sent["authorization"]) == ("GET /api/models HTTP/1.1", "Bearer canary-of-models-01")
    assert get(stage, "/v1/models/b")[2] == {"id": "b", "n": 1}
    assert get(stage, "/v1/models/none")[0] == 404
    assert len(asked) == 1  # remembered
    assert get(stage, "/v1/models", **ANTHROPIC)[2]["first_id"] == "opus"


def test_a_provider_that_does_not_answer_is_missing_and_the_others_are_there(stage: Scene) -> None:
    stage.configure(other("aside", 9, models='["b"]', dialects='["openai.chat"]'))
    gateway = stage.start(bus=False)
    tells(stage, {"error": "no"}, status=500)
    status, fields, listed = get(stage, "/v1/models")
    assert (status, ids(listed)) == (200, ["b"])
    assert fields["x-tabwire-models-missing"] == "own: it answered 500 to GET /models"
    assert gateway is not None


@pytest.mark.parametrize("document", [[], {"data": "x"}, {"models": []}])
def test_what_is_no_list_is_said_to_be_none(stage: Scene, document: object) -> None:
    stage.start(bus=False)
    tells(stage, document)
    status, fields, listed = get(stage, "/v1/models")
    assert (status, listed) == (200, {"object": "list", "data": []})
    assert fields["x-tabwire-models-missing"] == "own: its answer is not a list of models"


def test_claude_code_pages_through_its_list(stage: Scene) -> None:
    stage.configure(dialects=["anthropic.messages"])
    stage.start(bus=False)
    asked = tells(stage, {"data": [{"type": "model", "id": f"m{n}", "display_name": "M"} for n in range(5)], "has_more": False})
    whole = get(stage, "/v1/models?limit=1000", **ANTHROPIC)[2]
    assert (ids(whole), whole["has_more"], whole["last_id"]) == (["m0", "m1", "m2", "m3", "m4"], False, "m4")
    page = get(stage, "/v1/models?limit=2&after_id=m1", **ANTHROPIC)[2]
    assert (ids(page), page["has_more"], page["first_id"]) == (["m2", "m3"], True, "m2")
    page = get(stage, "/v1/models?limit=2&before_id=m1", **ANTHROPIC)[2]
    assert (ids(page), page["has_more"]) == (["m0"], False)
    assert asked[0][0] == "GET /api/models?limit=1000 HTTP/1.1"
    assert asked[0][1]["anthropic-version"] == "2023-06-01"
    none = get(stage, "/v1/models/none", **ANTHROPIC)
    assert (none[0], none[2]["error"]["type"]) == (404, "not_found_error")


def test_gemini_pages_through_its_list(stage: Scene) -> None:
    stage.configure(dialects=["gemini.generate"], aliases={"fast": "m0"})
    stage.start(bus=False)
    tells(stage, {"models": [{"name": "models/m0", "inputTokenLimit": 9}, {"name": "models/m1"}]})
    page = get(stage, "/v1beta/models?pageSize=2")[2]
    assert ([one["name"] for one in page["models"]], page["nextPageToken"]) == (["models/m0", "models/m1"], "2")
    page = get(stage, "/v1beta/models?pageSize=2&pageToken=2")[2]
    assert ([one["name"] for one in page["models"]], "nextPageToken" in page) == (["models/fast"], False)
    assert get(stage, "/v1beta/models/m0")[2] == {"name": "models/m0", "inputTokenLimit": 9}


def test_codex_is_told_nothing_that_would_replace_its_own_catalogue(stage: Scene) -> None:
    stage.start(bus=False)
    assert get(stage, "/v1/models?client_version=0.169.0")[2] == {"models": []}


def test_the_default_provider_answers_itself_when_the_list_is_the_login_s(stage: Scene) -> None:
    stage.configure(auth="passthrough")
    stage.start(bus=False)
    asked = tells(stage, {"models": [{"slug": "account"}]})
    found = get(stage, "/v1/models?client_version=0.169.0", authorization="Bearer callers-own")
    assert found[2] == {"models": [{"slug": "account"}]}
    first, fields = asked[0]
    assert first == "GET /api/models?client_version=0.169.0 HTTP/1.1"
    assert fields["authorization"] == "Bearer callers-own"


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/v1/models", {"origin": "http://evil.example"}, 403),
        ("/v1/models", {"host": "evil.example"}, 403),
        ("/v1/models//x", {}, 400),
        ("/s/not-a-token/v1/models", {}, 400),
    ],
)
def test_who_may_not_call_is_told_no_models(stage: Scene, path: str, fields: dict[str, str], status: int) -> None:
    stage.start(bus=False)
    assert get(stage, path, **fields)[0] == status
