"""The commands about where requests go, as people type them: ``pin``, ``unpin``, ``pins``, ``providers``, ``route``.

Registered by ``app``; each hands over to a module of its own, imported when it is used. Must not know how anything is done.
"""

from __future__ import annotations

from typing import Annotated

import typer

from actors.cli import complete
from actors.cli.failures import EXIT_CODES, USAGE, CommandFailedError

providers = typer.Typer(help="Where requests can go.", no_args_is_help=True, rich_markup_mode=None)
pins = typer.Typer(help="What goes to which provider.", no_args_is_help=True, rich_markup_mode=None)
route = typer.Typer(help="Why a request goes where it goes.", no_args_is_help=True, rich_markup_mode=None)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON in a stable shape.")]
_Provider = Annotated[str, typer.Argument(help="A provider's id.", autocompletion=complete.any_provider)]
_AsSession = Annotated[bool, typer.Option("--session", help="The target is a session.")]
_AsTerminal = Annotated[bool, typer.Option("--terminal", help="The target is a terminal; . is this one.")]
_AsProject = Annotated[bool, typer.Option("--project", help="The target is a folder; . is this one.")]
_TARGET = "A session (any unique prefix), a terminal's key, . for this tab, or a folder and all below it."


def register(app: typer.Typer) -> None:
    """Make these commands some of ``tabwire``'s."""
    app.command(epilog=EXIT_CODES)(pin)
    app.command(epilog=EXIT_CODES)(unpin)
    app.add_typer(pins, name="pins")
    app.add_typer(providers, name="providers")
    app.add_typer(route, name="route")


def pin(  # noqa: PLR0917 - one parameter an option
    target: Annotated[str, typer.Argument(help=_TARGET, autocompletion=complete.targets)],
    provider: Annotated[str, typer.Argument(metavar="PROVIDER[/MODEL]", autocompletion=complete.any_provider)],
    on_failure: Annotated[
        str,
        typer.Option(help="When it cannot be kept: fallback (to the default), fail, or ask.", autocompletion=complete.policies),
    ] = "fallback",
    ttl: Annotated[str | None, typer.Option(help="For how long: 30m, 2h, 1d.")] = None,
    session: _AsSession = False,
    terminal: _AsTerminal = False,
    project: _AsProject = False,
    json: _Json = False,
) -> None:
    """Send a session, a terminal or a project to a provider from its next request on; the most specific pin wins."""
    from actors.cli.pins import pin as place  # noqa: PLC0415

    kind = _kind(session=session, terminal=terminal, project=project)
    place(target, provider, kind=kind, on_failure=on_failure, ttl=ttl, json=json)


def unpin(
    target: Annotated[str, typer.Argument(help="What is pinned, or the beginning of it.", autocompletion=complete.pinned)],
    session: _AsSession = False,
    terminal: _AsTerminal = False,
    project: _AsProject = False,
    json: _Json = False,
) -> None:
    """Take a pin back."""
    from actors.cli.pins import unpin as remove  # noqa: PLC0415

    remove(target, kind=_kind(session=session, terminal=terminal, project=project), json=json)


@pins.command("list", epilog=EXIT_CODES)
def pins_list(json: _Json = False) -> None:
    """List every pin, and what is the matter with those that do not do what they say."""
    from actors.cli.pins import list_pins  # noqa: PLC0415

    list_pins(json=json)


@pins.command("prune", epilog=EXIT_CODES)
def pins_prune(json: _Json = False) -> None:
    """Remove the pins that have expired or name a provider that is no more."""
    from actors.cli.pins import prune  # noqa: PLC0415

    prune(json=json)


@providers.command("list", epilog=EXIT_CODES)
def providers_list(json: _Json = False) -> None:
    """List every provider: address, dialects, where its key is, models, and how it does."""
    from actors.cli.providers import list_providers  # noqa: PLC0415

    list_providers(json=json)


@providers.command("add", epilog=EXIT_CODES)
def providers_add(  # noqa: PLR0917 - one parameter an option
    provider: Annotated[str, typer.Argument(help="Its id; openai, anthropic, gemini, openrouter, ollama need no address.")],
    base_url: Annotated[str | None, typer.Option(help='Such as "https://api.openai.com/v1".')] = None,
    key: Annotated[str | None, typer.Option(help="Where its key is: env:NAME, keyring:SERVICE/USER or file:/path.")] = None,
    auth: Annotated[str | None, typer.Option(help="key, none, or passthrough (the caller's own login).")] = None,
    dialect: Annotated[
        list[str] | None, typer.Option(help="What it speaks. Repeatable.", autocompletion=complete.dialects)
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model that it has; none: any. Repeatable.")] = None,
    alias: Annotated[list[str] | None, typer.Option(help="ASKED=SENT: a model that is sent instead. Repeatable.")] = None,
    header: Annotated[list[str] | None, typer.Option(help="NAME=VALUE: a further header field. Repeatable.")] = None,
    base_url_of: Annotated[list[str] | None, typer.Option(help="DIALECT=URL, where that is elsewhere. Repeatable.")] = None,
    group: Annotated[str, typer.Option(help="Providers of one group stand in for each other.")] = "",
    account: Annotated[str, typer.Option(help="Providers of one account read each other's encrypted content.")] = "",
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    default: Annotated[bool, typer.Option("--default", help="Make it the default provider.")] = False,
    json: _Json = False,
) -> None:
    """Write a provider into the configuration file; asks nothing, and takes no key but only where it is."""
    from actors.cli.providers import add  # noqa: PLC0415

    add(
        provider,
        base_url=base_url,
        key=key,
        auth=auth,
        dialects=dialect or [],
        models=model or [],
        aliases=alias or [],
        headers=header or [],
        base_urls=base_url_of or [],
        group=group,
        account=account,
        title=name,
        default=default,
        json=json,
    )


@providers.command("test", epilog=f"{EXIT_CODES} Here 1 means that something is wrong with it.")
def providers_test(
    provider: _Provider,
    model: Annotated[str | None, typer.Option(help="Ask this model; otherwise the first one that is known.")] = None,
    json: _Json = False,
) -> None:
    """Really ask a provider, in every dialect that it serves and as little as possible; say what failed and what to do."""
    from actors.cli.provider_trial import try_provider  # noqa: PLC0415

    try_provider(provider, model=model, json=json)


@providers.command("enable", epilog=EXIT_CODES)
def providers_enable(provider: _Provider, json: _Json = False) -> None:
    """Let requests go to a provider again."""
    from actors.cli.providers import set_enabled  # noqa: PLC0415

    set_enabled(provider, enabled=True, json=json)


@providers.command("disable", epilog=EXIT_CODES)
def providers_disable(provider: _Provider, json: _Json = False) -> None:
    """Let no request go to a provider; a stream that is under way ends as it would."""
    from actors.cli.providers import set_enabled  # noqa: PLC0415

    set_enabled(provider, enabled=False, json=json)


@providers.command("remove", epilog=EXIT_CODES)
def providers_remove(
    provider: _Provider,
    force: Annotated[bool, typer.Option("--force", help="Even though it is the default or pinned.")] = False,
    json: _Json = False,
) -> None:
    """Take a provider out of the configuration file."""
    from actors.cli.providers import remove  # noqa: PLC0415

    remove(provider, force=force, json=json)


@providers.command("default", epilog=EXIT_CODES)
def providers_default(provider: _Provider, json: _Json = False) -> None:
    """Make a provider the one that requests go to when nothing sends them elsewhere."""
    from actors.cli.providers import set_default  # noqa: PLC0415

    set_default(provider, json=json)


@route.command("explain", epilog=EXIT_CODES)
def route_explain(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="SESSION|REQUEST",
            help="A session: its next request. A request's id (tabwire tail): the way it took.",
            autocompletion=complete.sessions,
        ),
    ] = None,
    cwd: Annotated[str | None, typer.Option(help="A request from this folder.")] = None,
    model: Annotated[str | None, typer.Option(help="As if this model were asked for.")] = None,
    json: _Json = False,
) -> None:
    """Say where a request would go now, or where a past one went: every candidate, and why each was passed over."""
    from actors.cli.route import explain  # noqa: PLC0415

    if target is None and cwd is None:
        raise CommandFailedError("route explain: name a session or a request, or give --cwd", USAGE)
    explain(target, cwd=cwd, model=model, json=json)


def _kind(*, session: bool, terminal: bool, project: bool) -> str | None:
    kinds = [name for name, said in (("session", session), ("terminal", terminal), ("project", project)) if said]
    if len(kinds) > 1:
        raise CommandFailedError(f"--{' and --'.join(kinds)}: the target is only one of them", USAGE)
    return kinds[0] if kinds else None
