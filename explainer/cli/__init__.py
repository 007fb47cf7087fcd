"""The command line: `explainer demo · record · info · plot · surface · render · page · verify · doctor`.

Exit codes: 0 done · 1 a check failed, or a film by a mistake in its scene · 2 wrong use: a name, a setting, or a trace
that is damaged or lacks what was asked of it · 3 something is not installed · 130 interrupted by Ctrl-C.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, NoReturn

import click

from explainer import __version__
from explainer.cli.demo import run_demo
from explainer.cli.doctor import examine
from explainer.cli.info import tell
from explainer.cli.page import write_page
from explainer.cli.plot import plot_figure
from explainer.cli.record import record_one
from explainer.cli.render import render_scenes
from explainer.cli.speech import say_on_error
from explainer.cli.surface import compute_surface
from explainer.cli.verify import verify_trace
from explainer.errors import ExplainerError, MissingDependency

WRONG_USE, NOT_INSTALLED, BROKEN_PIPE = 2, 3, 141


class Commands(click.Group):
    """A group that lists its commands in the order of a first day, and names the nearest to a misspelt one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names as they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that is none is answered with the nearest."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.commands, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"no command is called {args[0]!r}.{hint} There is: {', '.join(self.commands)}.")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="explainer")
@click.pass_context
def explainer(context: click.Context) -> None:
    """Record a real training run, then see its gradients in figures and films.

    Start with `explainer demo`. TRACE is always the folder of a recorded run, or the name of a lesson, which is
    recorded if it has not been yet; of a lesson that compares several runs it is the first, and depth/he-relu another.
    Exit codes: 0 done, 1 a check or a film failed, 2 wrong use, 3 something is not
    installed, 130 interrupted.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_COMMANDS = (
    run_demo, record_one, tell, plot_figure, compute_surface, render_scenes, write_page, verify_trace, examine,
)  # fmt: skip
for command in _COMMANDS:
    explainer.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; an unforeseen exception is a bug, and keeps its traceback."""
    with _stopped_like_by_ctrl_c() as stopped:
        try:
            # Not `explainer.main(…)`: click would answer a broken pipe and Ctrl-C in its own way.
            with explainer.make_context("explainer", list(sys.argv[1:] if arguments is None else arguments)) as context:
                explainer.invoke(context)
            sys.stdout.flush()  # what is wrong with the output is said here, and not when Python ends
            code = 0
        except click.exceptions.Exit as end:  # after --help and --version
            code = end.exit_code
        except click.ClickException as error:
            path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "explainer"
            say_on_error(f"{error.format_message()} (see {path} --help)", speaker=path)
            code = WRONG_USE
        except ExplainerError as error:
            say_on_error(str(error))
            code = NOT_INSTALLED if isinstance(error, MissingDependency) else WRONG_USE
        except KeyboardInterrupt as stop:
            say_on_error("; ".join(["interrupted", *map(str, stop.args)]))
            code = 128 + stopped[0]
        except BrokenPipeError:  # who reads has read enough
            _let_go_of_output()
            code = BROKEN_PIPE
        except OSError as error:  # a disk that is full, a folder that must not be written
            say_on_error(f"{error.filename or 'the output'}: {error.strerror}; nothing more was written")
            _let_go_of_output()
            code = WRONG_USE
    sys.exit(code)


def _let_go_of_output() -> None:
    """Write what waits to be written, or nowhere: Python tries it at its end again, and would complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _stopped_like_by_ctrl_c() -> Iterator[list[signal.Signals]]:
    """End tidily, with films stopped and traces kept, when the process is told to end or its terminal is closed.

    Yields:
        A list whose first is the signal that stopped it.
    """
    stopped = [signal.SIGINT]

    def stop(number: int, frame: Any) -> None:
        stopped[0] = signal.Signals(number)
        raise KeyboardInterrupt

    listening = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, stop) for number in listening}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
