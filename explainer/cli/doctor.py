"""`explainer doctor`: what is here, and how to get what is not."""

from __future__ import annotations

from dataclasses import asdict

import click

from explainer.cli import speech

NEEDED = "everything"


@click.command("doctor", short_help="Say what is installed, and how to get the rest.")
@speech.json_option
@speech.quiet_option
def examine(as_json: bool, quiet: bool) -> None:
    """Say what is installed, in which version, and what to type for what is missing.

    Ends with 3 where something is missing that everything needs; what only films or other extras need is no failure.
    """
    from explainer import doctor as office

    with speech.progress(quiet=quiet) as advance:
        advance("looking around", 0.0, "")
        checks = office.checks()
    lacking = [check for check in checks if check.found is None]
    if as_json:
        speech.say_json([asdict(check) for check in checks])
    else:
        console = speech.console()
        rows = speech.table("", "what", "found", "needed for")
        for check in checks:
            rows.add_row(
                "✓" if check.found else "✗", check.name, check.found or check.problem or "missing", check.needed_for
            )
        console.print(rows)
        for install in dict.fromkeys(check.install for check in lacking):
            names = ", ".join(check.name for check in lacking if check.install == install)
            console.print(f"\nfor {names}:\n    {install}", soft_wrap=True)
    if any(check.needed_for == NEEDED for check in lacking):
        raise SystemExit(3)
