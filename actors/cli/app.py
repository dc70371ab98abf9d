"""The commands as people type them: names, options, help. Each hands over to a module of its own, imported when it is used.

Must not know how anything is done.
"""

from __future__ import annotations

from typing import Annotated

import typer

from actors.cli import app_bridges, app_routing, complete
from actors.cli.failures import EXIT_CODES, INTERRUPTED, OK

app = typer.Typer(
    name="tabwire",
    help="One local gateway for terminal coding agents: which tab sent which request, where it went, and why.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
events = typer.Typer(help="The journal's events.", no_args_is_help=True, rich_markup_mode=None)
history = typer.Typer(
    help="Past sessions, from the files that Codex and Claude Code themselves keep; needs nothing to be running.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
config = typer.Typer(help="The configuration file.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(history, name="history", epilog=EXIT_CODES)
app.add_typer(events, name="events")
app.add_typer(config, name="config")

Json = Annotated[bool, typer.Option("--json", help="Print JSON in a stable shape.")]
All = Annotated[bool, typer.Option("--all", help="List everything: unproven and gone sessions too.")]
Preview = Annotated[bool, typer.Option("--preview", help="Show titles and first messages too: what was typed.")]
_POINT = "A position, a time (RFC 3339) or a duration ago (90s, 10m, 2h, 1d)."
_PASS_ON = {"allow_interspersed_args": False, "ignore_unknown_options": False}


def _print_version(wanted: bool) -> None:
    if wanted:
        from actors.cli.updown import own_version  # noqa: PLC0415 - every command imports only what it uses

        typer.echo(f"tabwire {own_version()}")
        raise typer.Exit


@app.callback()
def tabwire(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """One local gateway for terminal coding agents: which tab sent which request, where it went, and why."""


@app.command(epilog=EXIT_CODES)
def up(
    demo: Annotated[bool, typer.Option("--demo", help="Start sample agents too and watch what comes of them.")] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay here until stopped, with logs on stderr.")] = False,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen at [gateway] host too, for other computers that have a token.")
    ] = False,
) -> None:
    """Start everything in the background; beside a running system, try again what has failed there."""
    from actors.cli import updown  # noqa: PLC0415

    updown.up(demo=demo, foreground=foreground, allow_remote=allow_remote)


@app.command(epilog=EXIT_CODES)
def down() -> None:
    """Stop everything."""
    from actors.cli import updown  # noqa: PLC0415

    updown.down()


@app.command(epilog=EXIT_CODES)
def status(json: Json = False) -> None:
    """Show every actor (state, pid, restarts, last exit, what it says of itself), and what can be seen on this computer."""
    from actors.cli import updown  # noqa: PLC0415

    updown.show_status(json=json)


@app.command(context_settings=_PASS_ON, epilog=f"{EXIT_CODES} Otherwise the agent's own exit code.")
def run(
    command: Annotated[
        list[str], typer.Argument(help="The agent and its arguments: codex exec 'say hi'", metavar="-- COMMAND")
    ],
    provider: Annotated[
        str | None, typer.Option(help="Send this launch's requests to this provider.", autocompletion=complete.providers)
    ] = None,
    model: Annotated[str | None, typer.Option(help="Start the agent with this model.")] = None,
    name: Annotated[str | None, typer.Option(help="Which agent it is, when its program is not called so.")] = None,
    require: Annotated[bool, typer.Option("--require", help="Refuse to start while the gateway is down.")] = False,
) -> None:
    """Start an agent in this terminal so that its requests go through the gateway."""
    from actors.cli.run import run as start  # noqa: PLC0415

    start(command, provider=provider, model=model, name=name, require=require)


@app.command(epilog=EXIT_CODES)
def sessions(
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show the table again at every change.")] = False,
    everything: All = False,
) -> None:
    """List sessions: agent, providers, terminal, folder, what each does and since when."""
    from actors.cli import sessions as table  # noqa: PLC0415

    if watch:
        _until_interrupted(lambda: table.watch_sessions(json=json, everything=everything))
    else:
        table.show_sessions(json=json, everything=everything)


app_bridges.register(app)  # here, since help lists commands in this order
app_routing.register(app)


@app.command(epilog=EXIT_CODES)
def tail(
    session: Annotated[
        list[str] | None,
        typer.Option(help="Only this session: any unique prefix of an id. Repeatable.", autocompletion=complete.sessions),
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Only these types: request, request.*, *.failed. Repeatable.")
    ] = None,
    since: Annotated[str | None, typer.Option(help=f"Start after this point. {_POINT} Otherwise the last few events.")] = None,
    json: Json = False,
) -> None:
    """Print events as they are recorded, after those since some point; Ctrl-C ends it."""
    from actors.cli.tail import tail as follow  # noqa: PLC0415

    _until_interrupted(lambda: follow(sessions=session or [], types=type_ or [], since=since, json=json))


@app.command(epilog=EXIT_CODES)
def replay(
    until: Annotated[str | None, typer.Option(help=f"Fold through this point. {_POINT} Otherwise everything.")] = None,
    at: Annotated[str | None, typer.Option(help="The time that activity is measured against (RFC 3339).")] = None,
    json: Json = False,
    everything: All = False,
) -> None:
    """Print the sessions table as it was at some point, from the journal alone; needs nothing to be running."""
    from actors.cli.journal import replay_sessions  # noqa: PLC0415

    replay_sessions(until=until, at=at, json=json, everything=everything)


@app.command(epilog=EXIT_CODES)
def explain(
    session: Annotated[
        str,
        typer.Argument(
            help="Any unique prefix of a session's id, an alias or the agent's own id.", autocompletion=complete.sessions
        ),
    ],
    json: Json = False,
) -> None:
    """Say why a session's row says what it says: every piece of evidence, used or not, and the last decisions."""
    from actors.cli.explain import explain_session  # noqa: PLC0415

    explain_session(session, json=json)


@app.command(epilog=EXIT_CODES)
def usage(
    by: Annotated[
        str, typer.Option(help="session, provider, model, project or day.", autocompletion=complete.ledger_keys)
    ] = "session",
    since: Annotated[str | None, typer.Option(help="Only from this day on (2026-11-21, UTC).")] = None,
    session: Annotated[
        str | None, typer.Option(help="Only this session: any unique prefix of an id.", autocompletion=complete.sessions)
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="The last responses instead, with who told what; disagreements first.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what was used and what it costs: every response once, whoever told of it."""
    from actors.cli.usage import show_usage  # noqa: PLC0415

    show_usage(by=by, since=since, session=session, audit=audit, json=json)


@app.command(epilog=EXIT_CODES)
def quota(json: Json = False) -> None:
    """Show providers' quota windows: how much is used, when they are open again, and who said so."""
    from actors.cli.quota import show_quota  # noqa: PLC0415

    show_quota(json=json)


@app.command(epilog=f"{EXIT_CODES} Here 1 means that there is a problem.")
def doctor(json: Json = False) -> None:
    """Say what is wrong or cannot be known on this computer, and what to do about it."""
    from actors.cli.doctor import doctor as examine  # noqa: PLC0415

    examine(json=json)


@history.callback()
def history_list(  # noqa: PLR0917 - one parameter an option
    context: typer.Context,
    json: Json = False,
    agent: Annotated[
        str | None, typer.Option(help="Only this agent's: codex or claude.", autocompletion=complete.agents)
    ] = None,
    cwd: Annotated[str | None, typer.Option(help="Only sessions of this folder and below.")] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Archived sessions too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    preview: Preview = False,
) -> None:
    """Past sessions, from the files that Codex and Claude Code themselves keep; needs nothing to be running."""
    if context.invoked_subcommand is None:
        from actors.cli.history import show_history  # noqa: PLC0415

        show_history(json=json, agent=agent, cwd=cwd, archived=archived, limit=limit, preview=preview)


@history.command("show", epilog=EXIT_CODES)
def history_show(
    session: Annotated[
        str, typer.Argument(help="Any unique prefix of the agent's own session id.", autocompletion=complete.history)
    ],
    json: Json = False,
    preview: Preview = False,
) -> None:
    """Show one past session: its file, where it comes from, its turns, tokens, models and threads."""
    from actors.cli.history import show_one  # noqa: PLC0415

    show_one(session, json=json, preview=preview)


@app.command(epilog="Exit code: always 0, so that no hook ever stops an agent; what went wrong is said on stderr.")
def hook(
    agent: Annotated[str, typer.Argument(help="Which agent runs this hook: codex or claude.", autocompletion=complete.agents)],
) -> None:
    """Report an agent's hook (its JSON on stdin) to the gateway; this is what a command hook of Codex or Claude Code runs."""
    from actors.cli.hook import hook as report  # noqa: PLC0415

    raise typer.Exit(report([agent]))


@events.command("export", epilog=EXIT_CODES)
def events_export(
    since: Annotated[str | None, typer.Option(help=f"Start after this point. {_POINT}")] = None,
    until: Annotated[str | None, typer.Option(help=f"End with this point. {_POINT}")] = None,
) -> None:
    """Print events as JSON Lines, envelope and stamp, from the journal alone; needs nothing to be running."""
    from actors.cli.journal import export  # noqa: PLC0415

    export(since=since, until=until)


@config.command("path", epilog=EXIT_CODES)
def config_path() -> None:
    """Print where the configuration file is, or would be."""
    from actors.cli.configuration import print_path  # noqa: PLC0415

    print_path()


@config.command("validate", epilog=EXIT_CODES)
def config_validate() -> None:
    """Check the configuration file, without starting anything."""
    from actors.cli.configuration import validate  # noqa: PLC0415

    validate()


def _until_interrupted(follow: object) -> None:
    """Run what only an interruption ends: Ctrl-C is its regular end."""
    assert callable(follow)  # noqa: S101 - both callers are above
    try:
        follow()
    except KeyboardInterrupt:
        raise typer.Exit(OK) from None


__all__ = ["INTERRUPTED", "app"]
