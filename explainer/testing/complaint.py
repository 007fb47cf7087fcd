"""What a failed assertion says: the sentence that counts, the numbers around it, and what to look at next."""

from collections.abc import Sequence

_SHOWN = 16  # rows of a table: enough for the shape of most networks, and no wall of text


def complaint(sentence: str, look: str, title: str = "", rows: Sequence[Sequence[str]] = (), row: int = 0) -> str:
    """Write what a failed assertion says.

    Args:
        sentence: What was found, where, and what was wanted.
        look: What to look at next, to stand after "Look next at: ".
        title: What the rows are.
        rows: Cells in columns, aligned; of many only those about `row` are shown.
        row: The one that the sentence is about.
    """
    return "\n".join([sentence, *([title] if rows else []), *table(rows, row), f"Look next at: {look}"])


def table(rows: Sequence[Sequence[str]], about: int = 0) -> list[str]:
    """Align cells in columns; where there are many rows, show those nearest to the one that it is about."""
    first = max(0, min(about - _SHOWN // 2, len(rows) - _SHOWN))
    shown = rows[first : first + _SHOWN]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    ]
    before, after = first, len(rows) - first - len(shown)
    return [
        *([f"  … {before} more before"] if before else []),
        *lines,
        *([f"  … {after} more after"] if after else []),
    ]


def number(value: float) -> str:
    """Write a number as messages do."""
    return f"{value:.3g}"
