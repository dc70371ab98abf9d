"""Whatever a user types behind ``tabwire run --``: nothing of it is lost or moved, and the token stands only where it must."""

from __future__ import annotations

import typer
from hypothesis import given
from hypothesis import strategies as st

from actors.cli.app import app
from actors.cli.quick import read_run
from actors.launch.choose import plan_launch
from actors.launch.codex import CodexHome, plan_codex
from actors.launch.environment import without_proxy
from actors.launch.plan import Door, LaunchRefusedError
from actors.launch.words import without

DOOR = Door("http://127.0.0.1:8129", "a-token-of-its-own")
CONFIG = '[model_providers.stub]\nname = "s"\n[model_providers."a.b"]\nname = "s"\n'
WORDS = st.one_of(
    st.sampled_from(
        """exec e resume fork review app-server -- - -c --config -i -m --model=x -p alt --last --oss -h hi -cmodel_provider=stub
        -c=model_provider=stub model_provider=a.b --config=model="m" -si --enable -Cx --image=a -- daemon help""".split()  # noqa: SIM905
    ),
    st.text(max_size=12),
)
ARGUMENTS = st.lists(WORDS, max_size=8)
PINS = st.sampled_from([None, "openai", "stub", "gone"])


def removed(longer: tuple[str, ...], shorter: tuple[str, ...]) -> list[str] | None:
    """Return the one contiguous run that ``longer`` has more than ``shorter``."""
    more = len(longer) - len(shorter)
    for place in range(len(shorter) + 1):
        if longer[:place] + longer[place + more :] == shorter:
            return list(longer[place : place + more])
    return None


@given(ARGUMENTS, PINS, st.sampled_from([None, "gpt-6"]))
def test_codex_keeps_every_argument_in_its_place(arguments: list[str], pinned: str | None, model: str | None) -> None:
    argv = ("codex", *arguments)
    home = CodexHome(layers=(("config.toml", CONFIG),), thread_provider=pinned)
    try:
        plan = plan_codex(argv, home, DOOR, model)
    except LaunchRefusedError as refusal:
        assert DOOR.token not in str(refusal)  # noqa: PT017 - either way out is fine, neither tells the token
        return
    added = removed(plan.argv, argv)
    assert added is not None
    pairs = list(zip(added[::2], added[1::2], strict=True))
    assert {option for option, _ in pairs} <= {"-c", "-m"}
    assert bool(pairs) == plan.launched
    for option, value in pairs:
        assert (DOOR.token in value) == (option == "-c" and "base_url" in value)
    if "--" in argv:
        assert "--" not in plan.argv[: plan.argv.index("--")]
        assert plan.argv[plan.argv.index("--") :] == argv[argv.index("--") :]
    assert all(DOOR.token not in value for value in plan.environ.values())


AGENTS = ("claude", "gemini", "opencode", "qwen", "auggie")
OPTIONS = st.one_of(
    st.sampled_from(
        """-p --print --settings={} --settings {"model":"m"} -m --model=x --model x/y --auth-type openai-responses anthropic run
        mcp serve acp --acp --help attach --openai-base-url http://x --augment-session-json {"accessToken":"t"} -- -""".split()  # noqa: SIM905
    ),
    st.text(max_size=12),
)


@given(st.sampled_from(AGENTS), st.lists(OPTIONS, max_size=8), st.sampled_from([None, "m", "openai/m"]))
def test_an_agent_keeps_every_argument_but_the_one_that_says_where(agent: str, arguments: list[str], model: str | None) -> None:
    argv = (f"/opt/bin/{agent}", *arguments)
    try:
        plan = plan_launch(argv, DOOR, {"HOME": "/home/u"}, CodexHome, model=model)
    except LaunchRefusedError as refusal:
        assert DOOR.token not in str(refusal)  # noqa: PT017 - either way out is fine, neither tells the token
        return
    if not plan.launched:
        assert (plan.argv, dict(plan.environ)) == (argv, {})
        return
    assert any(DOOR.root in value for value in plan.environ.values())
    assert plan.argv[0] == argv[0]
    if "--" in argv:
        assert plan.argv[-(len(argv) - argv.index("--")) :] == argv[argv.index("--") :]
    taken = {"claude": ("--settings",), "auggie": ("--augment-session-json",)}
    given = without(argv, *taken.get(agent, ()))[1:]
    assert plan.argv[len(plan.argv) - len(given) :] == given
    assert all(DOOR.token not in word for word in plan.argv[1:] if agent != "claude")
    assert not any(DOOR.token in note for note in plan.notes)


@given(ARGUMENTS, st.sampled_from(["python3", "/opt/x/agent", "codex"]), st.sampled_from([None, "demo", "Bad Name"]))
def test_any_command_is_planned_or_refused(arguments: list[str], program: str, name: str | None) -> None:
    argv = (program, *arguments)
    try:
        plan = plan_launch(argv, DOOR, {"HTTP_PROXY": "http://p"}, CodexHome, name=name)
    except LaunchRefusedError:
        return
    assert removed(plan.argv, argv) is not None
    if plan.agent != "codex":
        assert plan.argv == argv
        assert plan.environ["OPENAI_BASE_URL"] == DOOR.base_url
    assert not plan.launched or "127.0.0.1" in plan.environ["NO_PROXY"]


PARTS = st.lists(st.sampled_from(["127.0.0.1", "localhost", "*", " corp ", "", "10.0.0.0/8"]), max_size=4).map(",".join)


@given(st.dictionaries(st.sampled_from(["HTTP_PROXY", "all_proxy", "NO_PROXY", "no_proxy"]), PARTS))
def test_loopback_is_never_proxied_and_no_exception_is_lost(environ: dict[str, str]) -> None:
    variables, note = without_proxy(environ)
    assert bool(variables) == bool(note)
    after = {**environ, **variables}
    for name in ("NO_PROXY", "no_proxy"):
        old = {part.strip() for part in environ.get(name, "").split(",")} - {""}
        assert old <= {part.strip() for part in after.get(name, "").split(",")}
    assert without_proxy(after) == ({}, "")


RUN = st.lists(
    st.sampled_from(
        ["--provider", "--model=m", "--name", "--require", "--", "-", "-h", "codex", "x", "--frob", "--provider=", "run"]
    ),
    max_size=7,
)


@given(RUN)
def test_run_is_read_the_same_with_and_without_typer(arguments: list[str]) -> None:
    quick = read_run(["run", *arguments])
    if quick is None:
        return
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    context = group.commands["run"].make_context("run", list(arguments))
    slow = context.params
    assert tuple(slow["command"]) == quick.command
    assert (slow["provider"], slow["model"], slow["name"]) == (quick.provider, quick.model, quick.name)
    assert slow["require"] == quick.require
