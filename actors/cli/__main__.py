"""The console script ``tabwire``: runs a command and turns whatever comes out of it into one line and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from actors.cli.quick import read_run


def main() -> NoReturn:
    """Run the command on this process's arguments and exit."""
    sys.exit(_run())


def _run() -> int:
    try:
        code = _command()
        sys.stdout.flush()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException as error:  # noqa: BLE001 - the one place where every error becomes a line and a code
        return _explain(error)
    return code


def _command() -> int:
    if sys.argv[1:2] == ["hook"] and not {"-h", "--help"} & set(sys.argv[2:]):
        from actors.cli.hook import hook  # noqa: PLC0415 - an agent waits for it: nothing else is loaded

        return hook(sys.argv[2:] or [""])
    if (words := read_run(sys.argv[1:])) is not None:
        from actors.cli.run import run  # noqa: PLC0415 - typer is not even imported for this one

        run(words.command, provider=words.provider, model=words.model, name=words.name, require=words.require)
    return _typed()


def _typed() -> int:
    """Run any command by typer."""
    import typer  # noqa: PLC0415 - a failing import is explained like any other error

    from actors.cli.app import app  # noqa: PLC0415
    from actors.cli.output import say  # noqa: PLC0415

    try:
        result = app(prog_name="tabwire", standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the whole help
            print(error.format_message(), file=sys.stderr)
        else:
            say(f"{error.format_message()} (see: {context.command_path if context else 'tabwire'} --help)")
        return error.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    return result if isinstance(result, int) else 0


def _explain(error: BaseException) -> int:
    from actors.cli.failures import explain_failure  # noqa: PLC0415
    from actors.cli.output import say  # noqa: PLC0415

    message, code = explain_failure(error)
    with contextlib.suppress(OSError):  # nobody reads stderr any more: the code is all that can be said
        if message:
            say(message)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what a closed pipe did not take is not tried again
    return code


if __name__ == "__main__":
    main()
