"""`explainer verify`: is what a trace holds true?"""

from __future__ import annotations

import click

from explainer.cli import speech
from explainer.cli.traces import trace_of

CHECKS = ("chain-rule", "updates")
_EXAMPLES = """\b
Examples:
  explainer verify runs/mine
  explainer verify digits --what chain-rule --step 0 --step -1
"""


@click.command("verify", epilog=_EXAMPLES, short_help="Check a trace: every gradient from the next one, every update.")
@click.argument("trace")
@click.option("--step", "steps", type=int, multiple=True, help="A recorded step, -1 the last; can be given again.")
@click.option("--what", help=f"Which checks, with commas between: {', '.join(CHECKS)}. Both when omitted.")
@speech.json_option
@speech.quiet_option
def verify_trace(trace: str, steps: tuple[int, ...], what: str | None, as_json: bool, quiet: bool) -> None:
    """Check TRACE without its model: each gradient is worked out from the next one, each update from the weights.

    Exit code 0 if all holds, 1 if something differs or nothing could be judged.
    """
    from explainer import verify

    chosen = [each.strip() for each in what.split(",")] if what else list(CHECKS)
    for each in chosen:
        if each not in CHECKS:
            raise click.BadParameter(f"{each!r} is no check; there is {' and '.join(CHECKS)}", param_hint="--what")
    with speech.progress(quiet=quiet) as advance:
        opened = trace_of(trace, advance)
    reports = {}
    if "chain-rule" in chosen:
        reports["chain-rule"] = verify.chain_rule(opened, step=steps or None, raises=False)
    if "updates" in chosen:
        reports["updates"] = verify.updates(opened, raises=False)
    if as_json:
        speech.say_json({name: report.to_json() for name, report in reports.items()})
    else:
        speech.say("\n\n".join(map(str, reports.values())))
    wrong = [report for report in reports.values() if report.failures]
    if not wrong and not any(report.ok for report in reports.values()):
        wrong = list(reports.values())
    for report in wrong:
        speech.say_on_error(report.complaint)
    if wrong:
        raise SystemExit(1)
