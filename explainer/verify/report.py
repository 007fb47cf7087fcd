"""What a check found, row by row: it prints as a table, and raises where numbers differ."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from explainer.errors import VerifyError

JUDGED = ("equal", "close", "differs")
UNJUDGED = {
    "alias": "pass their input on",
    "missing": "not in the trace",
    "cannot": "not judged",
}


@dataclass(frozen=True)
class Row:
    """One comparison, or the reason why there is none.

    Attributes:
        name: The layer, the parameter, or "loss" (`Model.loss_name`).
        step: The recorded step.
        what: What was compared, such as "gradient".
        state: "equal" bit by bit, "close" within what is allowed, "differs"; or not compared: "alias" for an output
            that is its input, "missing" where the trace says why it has none, "cannot" where there is no way to judge.
        type: The layer's class, such as "Linear".
        difference: The largest, between what was recorded and what was expected; None where nothing was compared.
        allowed: The largest that is no mistake.
        place: Where the largest difference is.
        recorded: The number there in the trace.
        expected: The number that should stand there.
        reason: Why it was not compared, or what a reader should know of the comparison.
    """

    name: str
    step: int
    what: str
    state: str
    type: str = ""
    difference: float | None = None
    allowed: float | None = None
    place: tuple[int, ...] | None = None
    recorded: float | None = None
    expected: float | None = None
    reason: str = ""

    @property
    def label(self) -> str:
        """The name with its class, as sentences say it."""
        return f"{self.name!r} ({self.type})" if self.type else repr(self.name)

    @property
    def excess(self) -> float:
        """How many times too large the difference is; a NaN on one side only is infinitely too large."""
        if self.difference is None or self.difference == 0:
            return 0.0
        return self.difference / self.allowed if self.allowed else math.inf


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        title: What was compared with what.
        rows: In the order of the check: what comes first may be the cause of what comes after.
        advice: What to look at next where numbers differ.
    """

    title: str
    rows: tuple[Row, ...]
    advice: str = ""

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that differ."""
        return tuple(row for row in self.rows if row.state == "differs")

    @property
    def judged(self) -> int:
        """How many comparisons were made."""
        return sum(row.state in JUDGED for row in self.rows)

    @property
    def ok(self) -> bool:
        """Whether something was compared, and nothing differs."""
        return self.judged > 0 and not self.failures

    def check(self) -> "Report":
        """Return the report itself if it is ok.

        Raises:
            VerifyError: Something differs: the first such row is named, which may be the cause of the others. Or
                nothing could be judged.
        """
        if not self.ok:
            raise VerifyError(self.complaint, self)
        return self

    @property
    def complaint(self) -> str:
        """The sentence about the first row that differs, and what to look at next; "" where all is well."""
        if self.ok:
            return ""
        if not self.failures:
            return f"{self.title}: nothing could be judged. {_why_not(self.rows)}"
        first, count = self.failures[0], len(self.failures)
        others = f"; {count - 1} other comparison{'s' * (count > 2)} of {self.judged} differ{'s' * (count == 2)} too"
        if first.difference is None:
            found = first.reason
        else:
            place = f" at {list(first.place)}" if first.place else ""
            found = (
                f"recorded {first.recorded!r}{place}, expected {first.expected!r}; "
                f"the largest difference is {first.difference:.3g}, allowed {first.allowed:.3g}"
            )
            found += f" ({first.reason})" if first.reason else ""
        return (
            f"{first.what} of {first.label}, step {first.step}: {found}{others if count > 1 else ''}."
            f"{' Look next at: ' * bool(self.advice)}{self.advice}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report in JSON's types; a number that is not finite is a word, as JSON has none."""
        rows = [{key: _plain(value) for key, value in asdict(row).items()} for row in self.rows]
        return {"title": self.title, "ok": self.ok, "judged": self.judged, "rows": rows}

    def __str__(self) -> str:
        return "\n".join([self.title, "", *_table(self.rows), *_notes(self.rows), self.summary])

    @property
    def summary(self) -> str:
        """The line that counts."""
        states = [row.state for row in self.rows]
        parts = [f"{states.count(state):,} {state}" for state in JUDGED if state in states]
        rest = [f"{states.count(state):,} {said}" for state, said in UNJUDGED.items() if state in states]
        found = f"{self.judged:,} compared: {', '.join(parts)}" if parts else "NOTHING COULD BE JUDGED"
        return "; ".join([found, *rest]) + "."


# ── The table ────────────────────────────────────────────────────────────────────────────────────────────────────

LINES = 80  # of a table that is still read; of a longer one the lines nearest to a mistake are shown
NEAREST = 20
_Line = tuple[Row, list[int]]  # the worst of some rows, and the steps that it stands for


def _table(rows: Sequence[Row]) -> list[str]:
    """Write what was compared; the steps of one comparison share a line, with the worst of them."""
    lines = _merged(row for row in rows if row.state in JUDGED)
    if not lines:
        return []
    shown = lines
    if len(lines) > LINES:
        ordered = sorted(lines, key=lambda line: (line[0].state != "differs", -line[0].excess))
        nearest = {id(line) for line in ordered[: max(NEAREST, sum(row.state == "differs" for row, _ in lines))]}
        shown = [line for line in lines if id(line) in nearest]
    typed = any(row.type for row, _ in shown)
    cells = [["name", *["type"] * typed, "compared", "step", "difference", "allowed", ""]]
    cells += [_cells(row, steps, typed) for row, steps in shown]
    right = {len(cells[0]) - 3, len(cells[0]) - 2}
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    written = [
        "   ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    table = [written[0], "─" * max(map(len, written)), *written[1:]]
    if len(shown) < len(lines):
        table.append(f"… and {len(lines) - len(shown):,} lines that are farther from a mistake; report.rows holds all")
    return [*table, ""]


def _cells(row: Row, steps: Sequence[int], typed: bool) -> list[str]:
    state = row.state.upper() if row.state == "differs" else row.state
    numbers = [_number(row.difference), _number(row.allowed)]
    return [row.name, *[row.type] * typed, row.what, _span(steps), *numbers, state]


def _merged(rows: Iterable[Row]) -> list[_Line]:
    """Join the steps of each comparison, those that differ apart from those that do not, and keep the worst."""
    lines: dict[tuple[str, str, bool], _Line] = {}
    for row in rows:
        key = (row.name, row.what, row.state == "differs")
        worst, steps = lines.get(key, (row, []))
        worse = (row.state != "equal", row.excess) > (worst.state != "equal", worst.excess)
        lines[key] = (row if worse else worst, [*steps, row.step])
    return list(lines.values())


def _span(steps: Sequence[int]) -> str:
    if len(steps) <= 3:
        return ", ".join(map(str, steps))
    return f"{steps[0]} … {steps[-1]} ({len(steps)})"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "0" if value == 0 else f"{value:.1e}"


def _notes(rows: Sequence[Row]) -> list[str]:
    """Write what was not compared, and what a reader should know of what was: each reason once, with its names."""
    written: list[str] = []
    for state, said in (*UNJUDGED.items(), ("differs", "differs"), ("close", "to know"), ("equal", "to know")):
        named: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
        for row in rows:
            if row.state == state and row.reason:
                alike = re.sub(r"'[^']*'(, '[^']*')*", "…", row.reason)  # the same but for the layers that it names
                names, reasons = named.setdefault(alike, ({}, {}))
                names[f"{row.name} ({row.what})".strip()] = None
                reasons[row.reason] = None
        if named:
            written += [f"{said}:"] * (f"{said}:" not in written)
            for alike, (names, reasons) in named.items():
                written.append(f"  {_listed(list(names))}: {alike if len(reasons) > 1 else next(iter(reasons))}")
    return [*written, ""] if written else []


def _listed(names: Sequence[str], shown: int = 4) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _why_not(rows: Sequence[Row]) -> str:
    reasons = list(dict.fromkeys(f"{row.name}: {row.reason}" for row in rows if row.reason))
    return "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more reasons" if len(reasons) > 3 else "")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
