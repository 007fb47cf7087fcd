"""What figures say and where they say it, for tests."""

from __future__ import annotations

from itertools import combinations

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.text import Text


def written(axes: Axes) -> str:
    """Return everything that is written on axes, and on the axes inside them."""
    return "\n".join(text.get_text() for text in axes.findobj(Text) if text.get_text())


def names(axes: Axes) -> list[str]:
    """Return what is written along the vertical axis, from its first tick on."""
    return [label.get_text() for label in axes.get_yticklabels()]


def assert_legible(axes: Axes, smallest: float = 9.0) -> None:
    """Assert that nothing that is written leaves the figure, lies on something else, or is too small to be read."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.canvas.draw()
    texts = [text for each in [axes, *axes.child_axes] for text in _texts(each) if text.get_text().strip()]
    assert min(text.get_fontsize() for text in texts) >= smallest
    boxes = {text: text.get_window_extent() for text in texts}
    for text, box in boxes.items():
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        assert inside, f"{text.get_text()!r} leaves the figure"
    for (one, here), (other, there) in combinations(boxes.items(), 2):
        width = min(here.x1, there.x1) - max(here.x0, there.x0)
        height = min(here.y1, there.y1) - max(here.y0, there.y0)
        apart = width <= 2 or height <= 3  # a box has room above its letters
        assert apart, f"{one.get_text()!r} lies on {other.get_text()!r}"


def _texts(axes: Axes) -> list[Text]:
    """Return what is drawn of the words on axes: of ticks those between an axis's ends."""
    found = [*axes.texts, axes.title, *(each for each in axes.get_children() if _is_title(axes, each))]
    legend = axes.get_legend()
    found += legend.get_texts() if legend else []
    for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
        low, high = sorted(axis.get_view_interval())
        shown = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=False)
        found += [label for place, label in shown if low <= place <= high and label.get_visible()]
        found.append(axis.label)
    return [text for text in found if text.get_visible()]


def _is_title(axes: Axes, drawn: Artist) -> bool:
    """Whether it is the title at the left, which has no name in public."""
    return isinstance(drawn, Text) and drawn.get_text() == axes.get_title(loc="left") and drawn not in axes.texts
