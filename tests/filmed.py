"""Running a film without writing it, the boxes of what stands on screen, and what is asked of every film."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import pytest
from manim import DL, UR, Camera, Mobject, Scene, tempconfig

from explainer.mobjects import mountain_axes
from explainer.mobjects.computation_graph import Node
from explainer.mobjects.contour_map import ContourMap
from explainer.mobjects.counter import Counter
from explainer.mobjects.formula import Formula
from explainer.mobjects.grid import Grid
from explainer.mobjects.mountain import Mountain
from explainer.mobjects.mountain_brush import Brush
from explainer.mobjects.trace_scene import READING, TraceScene
from explainer.mobjects.words import MINIMUM, Words

Box = tuple[str, float, float, float, float]  # what, left, bottom, right, top
Film = TypeVar("Film", bound=TraceScene)


def run(
    film: type[Film], environment: Mapping[str, str] | None = None, *, rate: int = 4, painted: bool = True, **given: Any
) -> Film:
    """Run a film at so many frames a second; `given` are its class attributes, such as `trace` or `runs`.

    Not `painted`, it takes half the time: all is where it would be, but no pixel is.
    """
    with pytest.MonkeyPatch.context() as patch, tempconfig(
        {"dry_run": True, "frame_rate": rate, "pixel_height": 90, "pixel_width": 160, "disable_caching": True,
         "verbosity": "ERROR", "progress_bar": "none"}
    ):  # fmt: skip
        for name in [name for name in os.environ if name.startswith("EXPLAINER_") and name != "EXPLAINER_RUNS"]:
            patch.delenv(name)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        for name, value in given.items():
            patch.setattr(film, name, value, raising=False)
        if not painted:
            patch.setattr(Camera, "capture_mobjects", lambda *_, **__: None)
        scene = film()
        scene.render()
    return scene


class Watching:
    """Mixed into a film, in front of it: looks at every frame, and at the end of every sentence.

    Attributes:
        frames: What `look` notes.
        stills: Per sentence the boxes of what then has to be read, in `boxes`.
        tiny: What could not be read then: the sentence, the words, the size of their letters.
    """

    frames: list[Any]
    stills: dict[str, list[Box]]
    tiny: list[tuple[str, str, float]]

    def setup(self) -> None:
        super().setup()  # type: ignore[misc]  # the film's
        self.frames, self.stills, self.tiny = [], {}, []
        if type(self).look is not Watching.look:
            self.add_updater(lambda _: self.look())  # type: ignore[attr-defined]

    def look(self) -> None:
        """Note what a frame shows."""

    def boxes(self) -> list[Box]:
        """Return the boxes of what has to be read now."""
        return boxes(self)  # type: ignore[arg-type]

    def finish_reading(self) -> None:
        super().finish_reading()  # type: ignore[misc]
        if self._caption is not None and self._caption.words not in self.stills:  # type: ignore[attr-defined]
            self.stills[self._caption.words] = self.boxes()  # type: ignore[attr-defined]
            sizes = letters(self)  # type: ignore[arg-type]
            self.tiny += [(self._caption.words, *each) for each in sizes if each[1] < MINIMUM - 1e-9]  # type: ignore[attr-defined]


class CanBeSeen:
    """What is asked of every film, of its runs `film` and `light`: a film's file has a class made of this one."""

    seconds: tuple[float, float]  # between which its length lies
    slack = 0.01  # frame units that two boxes may have in common

    def test_nothing_leaves_the_frame_overlaps_or_is_too_small(self, film: Any) -> None:
        assert [*film.stills] == list(dict.fromkeys(sentence for sentence, _, _ in film.said))
        check_room(film, self.slack)

    def test_dark_and_light_have_the_same_layout(self, film: Any, light: Any) -> None:
        assert (film.theme.name, light.theme.name) == ("dark", "light")
        assert [*light.stills] == [*film.stills]
        for sentence, still in light.stills.items():
            assert [name for name, *_ in still] == [name for name, *_ in film.stills[sentence]]
            np.testing.assert_allclose([at for _, *at in still], [at for _, *at in film.stills[sentence]], atol=1e-6)

    def test_captions_are_the_subtitles_and_stay_until_they_are_read(self, film: Any) -> None:
        sentences = [sentence for sentence, _, _ in film.said]
        assert [subtitle.content for subtitle in film.renderer.file_writer.subcaptions] == sentences
        check_pace(film)

    def test_it_is_as_long_as_planned(self, film: Any) -> None:
        shortest, longest = self.seconds
        assert shortest < film.seconds < longest


def check_room(scene: Any, slack: float = 0.01) -> None:
    """Check that at the end of no sentence anything is outside the frame, upon something else, or too small to read."""
    assert scene.stills
    assert scene.tiny == []
    for sentence, still in scene.stills.items():
        assert (sentence, outside(scene, still), list(overlaps(still, slack))) == (sentence, [], [])


def check_pace(scene: Any) -> None:
    """Check that every sentence stays until it is read, to a frame."""
    for sentence, began, ended in scene.said:
        assert ended - began >= len(sentence) / READING - 1 / scene.renderer.camera.frame_rate - 0.01, sentence


def letters(scene: Scene) -> list[tuple[str, float]]:
    """Return the sizes of all text on screen; a node's own name is looked at where nodes are tested."""
    return [(named(thing), thing.em) for thing in _outermost(scene) if isinstance(thing, Words | Formula | Grid)]


def things(scene: Scene) -> list[Box]:
    """Return the boxes of words, numbers, formulas, matrices and nodes, each as a whole."""
    return [(named(thing), *thing.get_corner(DL)[:2], *thing.get_corner(UR)[:2]) for thing in _outermost(scene)]


def _outermost(scene: Scene) -> list[Any]:
    """Return what has to be read, each as a whole."""

    def found(mobject: Mobject) -> Iterator[Mobject]:
        if isinstance(mobject, Words | Formula | Counter | Grid | Node):
            if visible(mobject) or isinstance(mobject, Grid | Node):  # cells paint themselves
                yield mobject
        else:
            for part in mobject.submobjects:
                yield from found(part)

    return [thing for each in scene.mobjects for thing in found(each) if thing.width > 0]


def named(thing: Any) -> str:
    """Return what a thing says, or is called."""
    says = getattr(thing, "words", None) or getattr(thing, "markup", None) or getattr(thing, "name", None)
    return str(says or type(thing).__name__)


def boxes(scene: Scene) -> list[Box]:
    """Return the boxes of all text and maps on screen, also of the text that mountains paint."""
    found: list[Box] = []
    for part in [part for each in scene.mobjects for part in each.get_family()]:
        if isinstance(part, Words | Counter | Formula | ContourMap) and visible(part):
            name = getattr(part, "words", None) or getattr(part, "markup", None) or type(part).__name__
            found.append((str(name), *part.get_corner(DL)[:2], *part.get_corner(UR)[:2]))
        elif isinstance(part, Mountain) and float(part.frame) > 0:
            for axis in mountain_axes.axes(part, Brush(None, part.screen())):  # type: ignore[arg-type]
                for label, _, middle in axis.places if axis.opacity > 0.05 else []:
                    half = np.array([label.words.width, label.words.height]) / 2
                    found.append((f"axis {label.words.words}", *(middle - half), *(middle + half)))
    return found


def visible(mobject: Mobject) -> bool:
    return any(len(part.points) and part.get_fill_opacity() > 0 for part in mobject.get_family())


def overlaps(still: list[Box], slack: float = 0.01) -> Iterator[tuple[str, str]]:
    """Yield the names of each two boxes that have more than `slack` frame units in common, across and up."""
    for place, (name, left, bottom, right, top) in enumerate(still):
        for other, left2, bottom2, right2, top2 in still[place + 1 :]:
            if min(right, right2) - max(left, left2) > slack and min(top, top2) - max(bottom, bottom2) > slack:
                yield name, other


def outside(scene: TraceScene, still: list[Box], margin: float = 0.25) -> list[str]:
    """Return the names of the boxes that come nearer to the frame's edge than the margin."""
    frame = scene.layout.frame
    return [
        name
        for name, left, bottom, right, top in still
        if left < frame.left + margin
        or right > frame.right - margin
        or bottom < frame.bottom + margin
        or top > frame.top - margin
    ]
