"""`explainer info`: what a trace holds, and what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from explainer.cli import speech
from explainer.cli.traces import trace_of
from explainer.errors import TraceError

if TYPE_CHECKING:
    from explainer.trace import Trace

KINDS = ("activations", "gradients", "parameters", "parameter_gradients", "updates", "inputs", "targets")
_BLOCKS = "▁▂▃▄▅▆▇█"


@click.command("info", short_help="Say what a trace holds, and what it lacks.")
@click.argument("trace")
@click.option("--diagnose", is_flag=True, help="Say too what is wrong with the run, if anything, by which numbers.")
@speech.json_option
@speech.quiet_option
def tell(trace: str, diagnose: bool, as_json: bool, quiet: bool) -> None:
    """Say what TRACE holds: layers with their shapes, steps, scalars, and what is missing with the reason."""
    with speech.progress(quiet=quiet) as advance:
        opened = trace_of(trace, advance)
    about = summary(opened)
    if diagnose:
        about["findings"] = _findings(opened)
    if as_json:
        speech.say_json(about)
    else:
        _show(opened, about)


def summary(trace: Trace) -> dict[str, Any]:
    """Return what a trace holds, in JSON's types."""
    norms = _gradient_norms(trace)
    criterion, probe = trace.model.criterion, trace.probe
    return {
        "folder": str(trace.folder),
        "bytes": sum(path.stat().st_size for path in trace.folder.iterdir()) if trace.folder else 0,
        "finished": trace.finished,
        "steps": {"count": len(trace), "first": _at(trace.steps, 0), "last": _at(trace.steps, -1)},
        "model": trace.model.type,
        "parameters": trace.model.parameter_count,
        "criterion": criterion.type if criterion else None,
        "optimizer": trace.model.optimizer,
        "layers": [
            {
                "name": name,
                "type": layer.type,
                "output_shape": layer.output_shape,
                "dtype": layer.dtype,
                "parameters": layer.parameter_count,
                "gradient_norm": norms.get(name),
                "missing": trace.missing.get(name),
                "unseen": layer.unseen,
            }
            for name, layer in trace.model.layers.items()
        ],
        "scalars": {name: _span(values) for name, values in trace.scalars.items()},
        "kept": [kind for kind in KINDS if _keeps(trace, kind)],
        "probe": None if probe is None or probe.inputs is None else {"examples": len(probe.inputs)},
        "missing": trace.missing,
        "aliases": trace.aliases,
        "tied": trace.model.tied,
        "unseen": _unseen(trace),
        "notes": trace.notes,
    }


def _findings(trace: Trace) -> list[dict[str, Any]]:
    """Return what is wrong with a run, in JSON's types: numbers that are not finite are null."""
    from explainer.diagnosis import findings

    return [
        {
            "kind": each.kind,
            "severity": each.severity,
            "words": each.words,
            "layer": each.layer or None,
            "numbers": {name: value if abs(value) < float("inf") else None for name, value in each.numbers.items()},
        }
        for each in findings(trace)
    ]


def _keeps(trace: Trace, kind: str) -> bool:
    try:
        return len(getattr(trace, kind)) > 0
    except TraceError:  # inputs and targets are one tensor each
        return False


def _gradient_norms(trace: Trace) -> dict[str, float]:
    """Return each layer's ‖gradient‖ at the last recorded step."""
    recorded: dict[str, Any] = trace.statistics.get("gradients", {})
    return {name: float(columns["norm"][-1]) for name, columns in recorded.items()} if len(trace) else {}


def _unseen(trace: Trace) -> dict[str, str]:
    """Return which functions no module sees, and before which layers they stand."""
    before: dict[str, list[str]] = {}
    readers = [(name, layer.unseen) for name, layer in trace.model.layers.items()]
    if trace.model.criterion is not None:
        readers.append(("the criterion", trace.model.criterion.unseen))
    for name, functions in readers:
        if functions:
            before.setdefault(", ".join(functions), []).append(name)
    return {
        functions: f"before {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for functions, names in before.items()
    }


def _at(steps: Any, index: int) -> int | None:
    return int(steps[index]) if len(steps) else None


def _span(values: Any) -> dict[str, float | None]:
    """Return the first, last, smallest and largest number of a scalar, of those that are numbers."""
    known = [float(value) for value in values if value == value]
    if not known:
        return dict.fromkeys(("first", "last", "smallest", "largest"))
    return {"first": known[0], "last": known[-1], "smallest": min(known), "largest": max(known)}


def sparkline(values: Any, width: int = 40) -> str:
    """Draw numbers as a line of blocks; where there are more than the width, each block is their mean.

    Numbers that are not finite are left out of the means; a block of none else is a gap.
    """
    parts = [list(values[len(values) * at // width : len(values) * (at + 1) // width]) for at in range(width)]
    parts = parts if len(values) > width else [[value] for value in values]
    finite = [[value for value in part if abs(value) < float("inf")] for part in parts]  # NaN is not below it either
    means = [sum(part) / len(part) if part else None for part in finite]
    known = [mean for mean in means if mean is not None]
    low, reach = (min(known), max(known) - min(known)) if known else (0.0, 0.0)
    top = len(_BLOCKS) - 1
    return "".join(
        " " if mean is None else _BLOCKS[round(top * (mean - low) / reach) if reach else 0] for mean in means
    )


def _show(trace: Trace, about: dict[str, Any]) -> None:
    console = speech.console()
    steps = about["steps"]
    trained = " with ".join(
        filter(None, [f"trained on {about['criterion']}" if about["criterion"] else "", about["optimizer"]])
    )
    state = "" if about["finished"] else ", not finished: the run goes on, or was stopped"
    console.print(about["folder"], style="bold")
    console.print(f"{about['model']}, {about['parameters']:,} parameters{', ' * bool(trained)}{trained}")
    span = f", {steps['first']} to {steps['last']}" if steps["count"] else ""
    console.print(f"{steps['count']} recorded steps{span}{state}; {speech.size_of(about['bytes'])} on disk")
    if isinstance(trace.notes.get("data"), str):
        console.print(trace.notes["data"])
    if _lesson(trace):
        console.print(_lesson(trace))
    kept = ", ".join(kind.replace("_", " ") for kind in about["kept"]) or "nothing, only statistics"
    probe = f"; a probe of {about['probe']['examples']} examples" if about["probe"] else ""
    console.print(f"kept in full: {kept}{probe}\n")
    _show_scalars(trace, about, console)
    _show_layers(about, console)
    _show_missing(about, console)
    if "findings" in about:
        console.print("\ndiagnosis", style="bold")
        for each in about["findings"]:
            console.print(f"{each['kind']}: {each['severity']}: {each['words']}")


def _lesson(trace: Trace) -> str:
    """Say of which lesson and run a trace is, with its settings; nothing where it is of none."""
    settings, run = trace.notes.get("settings"), trace.notes.get("run")
    if not isinstance(trace.notes.get("lesson"), str) or not isinstance(settings, dict):
        return ""
    told = [f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if value is not None]
    return f"lesson {trace.notes['lesson']}{f', run {run}' if run else ''}: {', '.join(told)}"


def _show_scalars(trace: Trace, about: dict[str, Any], console: Any) -> None:
    rows = speech.table("scalar", "first", "last", "over the steps", right=("first", "last"))
    for name, span in about["scalars"].items():
        if span["first"] is None:
            rows.add_row(name, "", "", "no number")
            continue
        constant = span["smallest"] == span["largest"]
        drawn = (
            "always the same" if constant and len(trace) > 1 else sparkline([v for v in trace.scalars[name] if v == v])
        )
        rows.add_row(name, f"{span['first']:.4g}", f"{span['last']:.4g}", drawn)
    if rows.row_count:
        console.print(rows)
        console.print()


def _show_layers(about: dict[str, Any], console: Any) -> None:
    rows = speech.table(
        "layer", "type", "output", "parameters", "‖gradient‖, last step", right=("parameters", "‖gradient‖, last step")
    )
    for layer in about["layers"]:
        shape = "×".join(map(str, layer["output_shape"])) if layer["output_shape"] else "not called"
        count = f"{layer['parameters']:,}" if layer["parameters"] else ""
        norm = layer["gradient_norm"]
        rows.add_row(
            layer["name"], layer["type"], shape, count, "none" if norm is None or norm != norm else f"{norm:.3g}"
        )
    console.print(rows)


def _show_missing(about: dict[str, Any], console: Any) -> None:
    for title, what in (
        ("missing", about["missing"]),
        ("pass their input on", about["aliases"]),
        ("are another name of", about["tied"]),
        ("functions that no module sees", about["unseen"]),
    ):
        if what:
            console.print(f"\n{title}", style="bold")
            for name, reason in what.items():
                console.print(f"{name}: {reason}")
