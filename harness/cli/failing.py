"""From an error to what is said of it and the exit code: the boundary at which all of them end."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

import click

from harness.errors import Exit, Mistake, ScenarioError, SquallError, full_disk, leaves, worst_exit
from harness.redaction import redact


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What an error comes to."""

    code: Exit
    told: str  # in one sentence; "" when there is nothing to be said
    mistakes: tuple[Mistake, ...] = ()  # of a scenario


def tell(error: BaseException) -> Failure:  # noqa: PLR0911  a table of returns
    """Say on standard error what went wrong, and give the exit code for it."""
    full = full_disk(error)
    if full is not None:
        where = f"{full.filename}: " if full.filename else ""
        return _said(Exit.UNKNOWN, f"{where}{full.strerror}; make room, and repeat this")
    match error:
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.ctx.get_help() if error.ctx else "")
            return Failure(code=Exit.NOT_RUN, told="")
        case click.ClickException():
            error.show()
            return Failure(code=Exit.NOT_RUN, told=redact(error.format_message()))
        case click.exceptions.Abort() | KeyboardInterrupt():
            return Failure(code=Exit.INTERRUPTED, told="interrupted")
        case SquallError():
            return _said(error.exit_code, str(error), error)
        case BrokenPipeError():  # whoever read our output has gone
            return Failure(code=Exit.NOT_RUN, told="")
        case BaseExceptionGroup():
            return _of_group(error)
    return _defect(error)


def _of_group(group: BaseExceptionGroup[BaseException]) -> Failure:
    """Find the reason for a failed run among what was cancelled with it."""
    ours, rest = group.split(SquallError)
    if ours is None or rest is not None:
        return _defect(group)
    said = [
        _said(error.exit_code, str(error), error)
        for error in leaves(ours)
        if isinstance(error, SquallError)
    ]
    code = worst_exit(each.code for each in said)
    return next(each for each in said if each.code is code)


def _said(code: Exit, text: str, error: SquallError | None = None) -> Failure:
    told = redact(text)
    click.echo(f"squall: {told}", err=True)
    mistakes = error.mistakes if isinstance(error, ScenarioError) else ()
    return Failure(code=code, told=told.partition("\n")[0], mistakes=mistakes)


def _defect(error: BaseException) -> Failure:
    traceback.print_exception(error)
    told = "this is a defect of squall itself; please report it"
    click.echo(f"squall: {told}", err=True)
    return Failure(code=Exit.BUG, told=f"{type(error).__name__}: {told}")
