"""From Typst to outlines: the one way in which letters and formulas come on screen.

Typst sets the line (kerning, ligatures, fractions), and says in an SVG which glyph stands where; each glyph's outline
is read once and kept. A caption takes 2 ms; read by manim's own `Typst`, which parses the whole SVG anew, 200 ms.

Text is set in DejaVu Sans, the font of matplotlib, whose package carries it to every machine: films and figures share
it, digits are all of one width, and it is legible at 480p. Formulas are set in Typst's own New Computer Modern Math, in
its heavier cut. Characters that neither has are taken from the system's fonts.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import svgelements
from numpy.typing import NDArray

from explainer.errors import ExplainerError, MissingDependency

Points = NDArray[np.float64]  # (4 · curves, 3) cubic Bézier curves, as manim keeps them

EM = 10.0  # points, while Typst sets: outlines come back in em
_STRUT = "#FEDCBA"  # the colour of an x in front of each line, which marks the baseline and is then dropped
_NOBODYS = "\U000f1234"  # of a private area
_PREAMBLE = """
#set page(width: {width}, height: auto, margin: 0pt, fill: none)
#set text(size: 10pt, font: "DejaVu Sans", hyphenate: false, number-width: "tabular")
#set par(leading: 0.55em)
#show math.equation: set text(font: "New Computer Modern Math", weight: 450)
"""


@dataclass(frozen=True)
class Run:
    """The outlines of all glyphs of one colour.

    Attributes:
        colour: As written in the markup, "#RRGGBB".
        points: (4 · curves, 3) in em; x from the left edge, y upwards from the first line's baseline.
    """

    colour: str
    points: Points


@lru_cache(maxsize=4096)
def typeset(markup: str, width: float | None = None) -> tuple[Run, ...]:
    """Set Typst markup and return its outlines, one run per colour in the order of their first glyphs.

    Args:
        markup: Typst; `#text(fill: rgb("#RRGGBB"))[…]` makes runs of their own.
        width: In em, where lines are to be broken; one line when omitted.

    Raises:
        ExplainerError: The markup is not Typst; its own message says where. Or no font here has one of its characters.
    """
    page = "auto" if width is None else f"{width:.4f}em"
    root = ElementTree.fromstring(_compile(_PREAMBLE.format(width=page) + markup))
    glyphs = {symbol.get("id", ""): symbol for symbol in root.iter() if _tag(symbol) == "symbol"}
    if not markup.isascii():
        _refuse_unknown(markup)
    drawn = list(_drawn(root, svgelements.Matrix(), glyphs))
    baseline = next((matrix.f for _, colour, matrix in drawn if colour == _STRUT), None)
    runs: dict[str, list[Points]] = {}
    for outline, colour, matrix in drawn:
        if colour != _STRUT:
            runs.setdefault(colour, []).append(_placed(outline, matrix, baseline or 0.0))
    return tuple(Run(colour, np.concatenate(parts)) for colour, parts in runs.items())


def strut() -> str:
    """Return the markup that marks the baseline: put it in front of the first line."""
    return f'#text(fill: rgb("{_STRUT}"))[x]'


def quoted(words: str) -> str:
    """Return plain words as a Typst string, in which nothing is markup."""
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _compile(source: str) -> bytes:
    typst, compiler = _compiler()
    try:
        svg: bytes = compiler.compile(source.encode(), format="svg")
    except typst.TypstError as error:
        raise ExplainerError(f"Typst cannot set this: {error}\n{source.split(')', 3)[-1].strip()}") from error
    return svg


def _shapes(root: ElementTree.Element) -> frozenset[str]:
    """Return the outlines of all glyphs that are drawn, as they are written."""
    return frozenset(path.get("d", "") for each in root.iter() if _tag(each) == "symbol" for path in each)


def _refuse_unknown(markup: str) -> None:
    for character in dict.fromkeys(each for each in markup if not each.isascii()):
        if not _is_known(character):
            said = markup.removeprefix(strut())
            raise ExplainerError(
                f"no font here has {character!r} (U+{ord(character):04X}), which is in {said!r}: "
                "install a font that has it, such as Noto (Debian: apt-get install fonts-noto-core fonts-noto-cjk)"
            )


@cache
def _is_known(character: str) -> bool:
    """Say whether a font has a character, other than those fonts that draw a box for whatever there is."""
    boxes = _alone(_NOBODYS).union(*(_alone(character, font) for font in _last_resorts()))
    return not _alone(character) & (boxes - {""})


@cache
def _alone(character: str, font: str | None = None) -> frozenset[str]:
    """Return the outlines that are drawn for a character, by the font alone where one is named."""
    chosen = "" if font is None else f"font: {quoted(font)}, fallback: false, "
    page = _PREAMBLE.format(width="auto") + f"#text({chosen}{quoted(character)})"
    return _shapes(ElementTree.fromstring(_compile(page)))


def _last_resorts() -> list[str]:
    """Return the fonts whose every character is a box: matplotlib carries one, and so does macOS."""
    return [family for family in _fonts().families() if re.match(r"\.?Last ?Resort", family)]


@cache
def _compiler() -> tuple[Any, Any]:
    try:
        import typst
    except ImportError as error:
        raise MissingDependency("typst", "Text in films", "films") from error
    return typst, typst.Compiler(font_paths=_fonts())


@cache
def _fonts() -> Any:
    import typst

    return typst.Fonts(font_paths=[str(_font_folder())])


def _font_folder() -> Path:
    """Return where matplotlib keeps DejaVu Sans, without loading matplotlib."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise MissingDependency("matplotlib", "The font of films", "films")
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _drawn(
    parent: ElementTree.Element, around: svgelements.Matrix, glyphs: dict[str, ElementTree.Element]
) -> "list[tuple[Points, str, svgelements.Matrix]]":
    """List every outline that is drawn, with its colour and where it goes."""
    found: list[tuple[Points, str, svgelements.Matrix]] = []
    for element in parent:
        tag = _tag(element)
        matrix = svgelements.Matrix(element.get("transform", "")) * around
        if tag == "use":
            symbol = glyphs[element.get("{http://www.w3.org/1999/xlink}href", "").lstrip("#")]
            shift = svgelements.Matrix(f"translate({element.get('x', '0')} {element.get('y', '0')})")
            outline = np.concatenate([_outline(path.get("d", "")) for path in symbol])
            found.append((outline, _colour(element.get("fill")), shift * matrix))
        elif tag == "path" and element.get("fill", "none") != "none":
            found.append((_outline(element.get("d", "")), _colour(element.get("fill")), matrix))
        elif tag == "path" and element.get("stroke") is not None:
            bar = _bar(element.get("d", ""), float(element.get("stroke-width", "1")))
            found.append((bar, _colour(element.get("stroke")), matrix))
        elif tag == "g":
            found += _drawn(element, matrix, glyphs)
    return found


def _colour(written: str | None) -> str:
    return (written or "#000000").upper()


@cache
def _outline(d: str) -> Points:
    """Return a path's curves, (4 · curves, 3), in its own coordinates; every contour closed."""
    curves: list[list[complex]] = []
    for segment in svgelements.Path(d):
        if isinstance(segment, svgelements.Move) or segment.start == segment.end:
            continue
        if isinstance(segment, svgelements.CubicBezier):
            corners = [segment.start, segment.control1, segment.control2, segment.end]
            curves.append([complex(each) for each in corners])
        elif isinstance(segment, svgelements.QuadraticBezier):
            start, control, end = (complex(each) for each in (segment.start, segment.control, segment.end))
            curves.append([start, start + (control - start) * 2 / 3, end + (control - end) * 2 / 3, end])
        else:  # a line, or the line that closes a contour
            start, end = complex(segment.start), complex(segment.end)
            curves.append([start, start + (end - start) / 3, start + (end - start) * 2 / 3, end])
    flat = np.array(curves, complex).reshape(-1)
    return np.stack([flat.real, flat.imag, np.zeros(len(flat))], axis=1)


def _bar(d: str, width: float) -> Points:
    """Return a straight stroke, such as that of a fraction, as the outline of a bar."""
    path = [segment for segment in svgelements.Path(d) if not isinstance(segment, svgelements.Move)]
    if len(path) != 1 or not isinstance(path[0], svgelements.Line):
        raise ExplainerError(f"a formula may have straight strokes only, such as fractions and roots; not {d!r}")
    start, end = complex(path[0].start), complex(path[0].end)
    aside = (end - start) / abs(end - start) * 1j * width / 2
    corners = [start + aside, end + aside, end - aside, start - aside]
    return _outline("M" + "L".join(f"{corner.real} {corner.imag}" for corner in corners) + "Z")


def _placed(outline: Points, matrix: svgelements.Matrix, baseline: float) -> Points:
    x, y = outline[:, 0], outline[:, 1]
    across = matrix.a * x + matrix.c * y + matrix.e
    down = matrix.b * x + matrix.d * y + matrix.f - baseline
    return np.stack([across, -down, outline[:, 2]], axis=1) / EM


GROUP = re.compile(r"\{\{(.*?):\s*([\w-]+)\s*\}\}", re.DOTALL)
