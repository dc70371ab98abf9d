"""How the other agents' commands are pointed at the gateway; tests/e2e/test_agents_run.py starts the real ones so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from actors.launch.choose import agent_of, plan_launch
from actors.launch.codex import CodexHome
from actors.launch.gemini import DEFAULTS
from actors.launch.plan import PLACEHOLDER, Door, LaunchRefusedError, Plan
from actors.launch.words import dotenv, options, table, without

DOOR = Door("http://127.0.0.1:8129", "TOKEN")
ROOT = "http://127.0.0.1:8129/s/TOKEN"
HOME = "/home/u"


def plan(
    *argv: str, files: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, model: str | None = None
) -> Plan:
    texts = {path: text if isinstance(text, str) else json.dumps(text) for path, text in (files or {}).items()}
    return plan_launch(
        argv,
        DOOR,
        {"HOME": HOME, **(environ or {})},
        CodexHome,
        model=model,
        cwd=Path("/home/ada/p"),
        read=lambda file: texts.get(str(file)),
    )


def refusal(*argv: str, **given: Any) -> str:
    with pytest.raises(LaunchRefusedError) as refused:
        plan(*argv, **given)
    assert "TOKEN" not in str(refused.value)
    return str(refused.value)


def env_settings(address: str = "http://elsewhere", **more: str) -> dict[str, Any]:
    return {"env": {"ANTHROPIC_BASE_URL": address, **more}}


@pytest.mark.parametrize("agent", ["claude", "gemini", "opencode", "qwen", "auggie"])
def test_each_agent_is_known_by_its_programs_name(agent: str) -> None:
    assert agent_of(f"/usr/bin/{agent}") == agent
    assert agent_of(f"{agent}.cmd") == agent
    assert agent_of(f"{agent}-helper") == "other"


@pytest.mark.parametrize(
    "command",
    [
        "claude mcp list",
        "claude --version",
        "gemini mcp list",
        "opencode models",
        "opencode auth",
        "opencode db",
        "qwen --help",
        "auggie login",
        "auggie session list",
        "auggie --mcp",
    ],
)
def test_what_makes_no_request_is_passed_through_as_it_is(command: str) -> None:
    words = tuple(command.split())
    planned = plan(*words)
    assert (planned.argv, planned.launched, dict(planned.environ)) == (words, False, {})


# ------------------------------------------------------------------------------------------------------------ Claude Code


def test_claude_keeps_its_login_and_loses_only_its_address() -> None:
    files = {f"{HOME}/.claude/settings.json": env_settings(ANTHROPIC_AUTH_TOKEN="theirs")}
    planned = plan("claude", "-p", "hi", files=files)
    assert planned.argv == ("claude", "--settings", json.dumps({"env": {"ANTHROPIC_BASE_URL": ROOT}}), "-p", "hi")
    assert planned.environ == {"ANTHROPIC_BASE_URL": ROOT}
    assert planned.speaks == ("anthropic.messages",)
    assert planned.notes == ()


@pytest.mark.parametrize("given", [("--settings", "own.json"), ("--settings=own.json",)])
def test_claudes_own_settings_option_is_kept_under_ours(given: tuple[str, ...]) -> None:
    own = {"model": "m", "env": {"A": "1", "ANTHROPIC_BASE_URL": "http://x"}}
    planned = plan("claude", *given, "hi", files={"/home/ada/p/own.json": own}, environ={"ANTHROPIC_API_KEY": "k"})
    assert planned.argv[0::3] == ("claude", "hi")
    assert json.loads(planned.argv[2]) == {"model": "m", "env": {"A": "1", "ANTHROPIC_BASE_URL": ROOT}}


@pytest.mark.parametrize(
    ("environ", "files"),
    [
        ({"ANTHROPIC_API_KEY": "k"}, {}),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "k"}, {}),
        ({}, {f"{HOME}/.claude/.credentials.json": "{}"}),
        ({}, {f"{HOME}/.claude.json": {"oauthAccount": {"x": 1}}}),
        ({}, {f"{HOME}/.claude/settings.json": {"apiKeyHelper": "cat key"}}),
        ({}, {"/home/ada/p/.claude/settings.local.json": {"env": {"ANTHROPIC_API_KEY": "k"}}}),
        ({"CLAUDE_CONFIG_DIR": "/c"}, {"/c/.credentials.json": "{}"}),
    ],
)
def test_a_login_of_claudes_is_left_alone(environ: dict[str, str], files: dict[str, Any]) -> None:
    assert "ANTHROPIC_AUTH_TOKEN" not in plan("claude", environ=environ, files=files).environ


def test_a_claude_without_any_login_is_given_a_placeholder_and_told_so() -> None:
    planned = plan("claude", "hi", model="opus")
    assert planned.environ["ANTHROPIC_AUTH_TOKEN"] == PLACEHOLDER
    assert "placeholder" in planned.notes[0]
    assert planned.argv[3:] == ("--model", "opus", "hi")


def test_a_claude_that_cannot_be_brought_is_refused_with_the_reason() -> None:
    assert "Bedrock" in refusal("claude", environ={"CLAUDE_CODE_USE_BEDROCK": "1"})
    vertex = {f"{HOME}/.claude/settings.json": {"env": {"CLAUDE_CODE_USE_VERTEX": "true"}}}
    assert "Vertex" in refusal("claude", files=vertex)
    assert "administrator" in refusal("claude", files={"/etc/claude-code/managed-settings.json": env_settings()})
    assert "no such file" in refusal("claude", "--settings", "gone.json")
    assert "settings.json is not JSON" in refusal("claude", files={f"{HOME}/.claude/settings.json": "{"})
    assert "named twice" in refusal("claude", "--model=x", model="y")


# -------------------------------------------------------------------------------------------------------------- Gemini CLI


def gemini(type_: str, **auth: str) -> dict[str, Any]:
    return {f"{HOME}/.gemini/settings.json": {"security": {"auth": {"selectedType": type_, **auth}}}}


def test_gemini_with_a_key_is_pointed_by_its_variable_alone() -> None:
    planned = plan("gemini", "-p", "hi", files=gemini("gemini-api-key"), environ={"GEMINI_API_KEY": "k"}, model="flash")
    assert planned.argv == ("gemini", "--model", "flash", "-p", "hi")
    assert planned.environ == {"GOOGLE_GEMINI_BASE_URL": ROOT}
    assert planned.speaks == ("gemini.generate",)


def test_gemini_that_chose_no_login_is_given_the_choice_it_would_refuse_to_make() -> None:
    planned = plan("gemini", environ={"GEMINI_API_KEY": "k"})
    assert planned.environ["GEMINI_CLI_SYSTEM_DEFAULTS_PATH"] == str(DEFAULTS)
    assert json.loads(DEFAULTS.read_text()) == {"security": {"auth": {"selectedType": "gemini-api-key"}}}
    system: dict[str, Any] = {"/etc/gemini-cli/system-defaults.json": {"ui": {}}}
    assert "must stay as it is" in refusal("gemini", files=system, environ={"GEMINI_API_KEY": "k"})


def test_a_key_of_geminis_is_left_alone() -> None:
    chosen = gemini("gemini-api-key")
    for file, text in ((f"{HOME}/.gemini/.env", "GEMINI_API_KEY=k"), (f"{HOME}/.gemini/gemini-credentials.json", "x")):
        assert "GEMINI_API_KEY" not in plan("gemini", files={**chosen, file: text}).environ
    assert plan("gemini", files=chosen).environ["GEMINI_API_KEY"] == PLACEHOLDER


@pytest.mark.parametrize("type_", ["oauth-personal", "vertex-ai", "compute-default-credentials", "something-new"])
def test_gemini_with_a_login_of_googles_is_refused(type_: str) -> None:
    assert "run it without tabwire" in refusal("gemini", files=gemini(type_))
    assert "run it without tabwire" in refusal("gemini", files=gemini("gemini-api-key", enforcedType=type_))


def test_gemini_that_its_environment_logs_in_with_google_is_refused() -> None:
    assert "Code Assist" in refusal("gemini", environ={"GOOGLE_GENAI_USE_GCA": "true"})
    assert "Vertex" in refusal("gemini", environ={"GOOGLE_GENAI_USE_VERTEXAI": "true"})


# ---------------------------------------------------------------------------------------------------------------- opencode


def content(planned: Plan) -> Any:
    return json.loads(planned.environ["OPENCODE_CONFIG_CONTENT"])


def addresses(planned: Plan) -> dict[str, str]:
    return {name: each["options"]["baseURL"] for name, each in content(planned)["provider"].items()}


OPENCODE = {
    f"{HOME}/.config/opencode/opencode.jsonc": '{"model": "mine/m", // which\n "provider": {"mine": {"models": {"m": {}},}}}',
    f"{HOME}/.local/share/opencode/auth.json": {"anthropic": {"type": "api", "key": "k"}},
}


def test_every_provider_of_opencodes_keeps_its_id_and_goes_to_the_gateway() -> None:
    planned = plan("opencode", "run", "hi", files=OPENCODE, environ={"GEMINI_API_KEY": "k"})
    assert planned.argv == ("opencode", "run", "hi")
    v1 = f"{ROOT}/v1"
    assert addresses(planned) == {"mine": v1, "anthropic": v1, "google": f"{ROOT}/v1beta", "opencode": v1}
    assert planned.speaks == ("openai.chat",)


def test_what_opencodes_variable_held_is_kept() -> None:
    given = {"theme": "x", "provider": {"mine": {"options": {"apiKey": "k", "baseURL": "http://x"}}}}
    kept = content(plan("opencode", files=OPENCODE, environ={"OPENCODE_CONFIG_CONTENT": json.dumps(given)}))
    assert kept["theme"] == "x"
    assert kept["provider"]["mine"]["options"] == {"apiKey": "k", "baseURL": f"{ROOT}/v1"}


@pytest.mark.parametrize("model", ["new", "mine/new"])
def test_a_model_for_opencode_is_made_known_and_named_with_its_provider(model: str) -> None:
    planned = plan("opencode", "run", "hi", files=OPENCODE, model=model)
    assert planned.argv == ("opencode", "--model", "mine/new", "run", "hi")
    assert content(planned)["provider"]["mine"]["models"] == {"new": {}}


def test_an_opencode_that_cannot_be_brought_is_refused_or_named() -> None:
    oauth = {f"{HOME}/.local/share/opencode/auth.json": {"openai": {"type": "oauth"}}}
    assert "openai" not in addresses(plan("opencode", files=oauth))
    assert "openai cannot be brought" in plan("opencode", files=oauth).notes[0]
    assert "its login" in refusal("opencode", "-m", "openai/gpt-5.1", files=oauth)
    assert "its adapter" in refusal("opencode", "--model=azure/x", environ={"AZURE_API_KEY": "k"})
    assert "several providers" in refusal("opencode", environ={"OPENAI_API_KEY": "k", "XAI_API_KEY": "k"}, model="m")
    assert "elsewhere" in refusal("opencode", "attach", "http://localhost:4096")


def test_a_provider_that_opencode_may_not_use_is_not_brought_up() -> None:
    files = {"/home/ada/p/opencode.json": {"disabled_providers": ["opencode"]}}
    assert addresses(plan("opencode", files=files, environ={"OPENAI_API_KEY": "k"})) == {"openai": f"{ROOT}/v1"}


# --------------------------------------------------------------------------------------------------------------- Qwen Code


def test_qwen_is_pointed_by_all_its_variables_and_its_type_is_chosen_by_its_key() -> None:
    planned = plan("qwen", "-p", "hi", environ={"ANTHROPIC_API_KEY": "k"}, model="m")
    assert planned.argv == ("qwen", "--auth-type", "anthropic", "--model", "m", "-p", "hi")
    addresses = {"OPENAI_BASE_URL": f"{ROOT}/v1", "ANTHROPIC_BASE_URL": ROOT, "GOOGLE_GEMINI_BASE_URL": ROOT}
    assert planned.environ == addresses
    assert planned.speaks == ("anthropic.messages",)


def qwen(type_: str | None = "openai", **more: Any) -> dict[str, Any]:
    return {f"{HOME}/.qwen/settings.json": {"security": {"auth": {"selectedType": type_}}, **more}}


def test_a_key_of_qwens_is_left_alone() -> None:
    assert plan("qwen", files=qwen()).environ["OPENAI_API_KEY"] == PLACEHOLDER
    assert "OPENAI_API_KEY" not in plan("qwen", files=qwen(env={"OPENAI_API_KEY": "k"})).environ
    assert "OPENAI_API_KEY" not in plan("qwen", files={**qwen(), "/home/ada/.env": "export OPENAI_API_KEY='k'"}).environ
    assert plan("qwen", "--auth-type", "anthropic", files=qwen()).environ["ANTHROPIC_API_KEY"] == PLACEHOLDER


def test_a_qwen_that_cannot_be_brought_is_refused() -> None:
    assert "Qwen login" in refusal("qwen", files=qwen("qwen-oauth"))
    assert "Vertex" in refusal("qwen", "--auth-type=vertex-ai")
    assert "one place" in refusal("qwen", "--openai-base-url", "http://x")
    listed = {"openai": [{"id": "m", "baseUrl": "http://x"}]}
    assert "modelProviders" in refusal("qwen", files=qwen(modelProviders=listed, model={"name": "m"}))
    assert plan("qwen", "-m", "n", files=qwen(modelProviders=listed, model={"name": "m"})).launched


# ------------------------------------------------------------------------------------------------------------------ Auggie

LOGIN = {"accessToken": "secret", "tenantURL": "https://t.example/", "scopes": ["email"]}


def test_auggies_login_is_handed_on_with_our_address() -> None:
    moved = {**LOGIN, "tenantURL": f"{ROOT}/auggie/"}
    for given in (
        plan("auggie", "hi", files={f"{HOME}/.augment/session.json": LOGIN}),
        plan("auggie", "hi", environ={"AUGMENT_SESSION_AUTH": json.dumps(LOGIN)}),
        plan("auggie", "--augment-session-json", "s.json", "hi", files={"/home/ada/p/s.json": LOGIN}),
        plan("auggie", f"--augment-session-json={json.dumps(LOGIN)}", "hi"),
    ):
        assert json.loads(given.environ["AUGMENT_SESSION_AUTH"]) == moved
        assert given.argv == ("auggie", "hi")
        assert given.speaks == ("auggie",)
    cached = plan("auggie", "--augment-cache-dir", "c", files={"/home/ada/p/c/session.json": LOGIN})
    assert json.loads(cached.environ["AUGMENT_SESSION_AUTH"]) == moved


def test_an_auggie_without_a_login_is_given_a_placeholder_and_a_broken_one_is_not_shown() -> None:
    planned = plan("auggie", model="m")
    assert json.loads(planned.environ["AUGMENT_SESSION_AUTH"])["accessToken"] == PLACEHOLDER
    assert planned.argv == ("auggie", "--model", "m")
    assert "placeholder" in planned.notes[0]
    told = refusal("auggie", environ={"AUGMENT_SESSION_AUTH": '{"accessToken": "secret", '})
    assert "secret" not in told
    assert "auggie login" in told


# -------------------------------------------------------------------------------------------------- what they read alike


def test_settings_with_comments_and_trailing_commas_are_read_and_texts_in_them_kept() -> None:
    assert table('{"a": "// no, /* no */ ,}", /* x */ "b": [1, 2,], // y\n}', "f") == {"a": "// no, /* no */ ,}", "b": [1, 2]}
    with pytest.raises(LaunchRefusedError, match="no table"):
        table("[]", "f")


def test_options_are_found_and_taken_out_before_a_lone_dash_dash() -> None:
    argv = ("x", "-m", "a", "--model=b", "--", "-m", "c")
    assert options(argv, "--model", "-m") == ["a", "b"]
    assert without(argv, "--model", "-m") == ("x", "--", "-m", "c")


def test_only_the_nearest_dotenv_counts_and_only_its_names() -> None:
    texts = {"/a/.env": "# K=1\nexport A = b\nEMPTY=\n", "/b/.env": "B=1"}
    assert dotenv(lambda file: texts.get(str(file)), [Path("/0"), Path("/a/.env"), Path("/b/.env")]) == {"A"}
