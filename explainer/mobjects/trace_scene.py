"""A scene that shows a trace: where the trace comes from, and what every film does in the same way."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from manim import Animation, FadeIn, FadeOut, Mobject, Scene, Wait
from manim.utils.exceptions import EndSceneEarlyException

from explainer.errors import ExplainerError, TraceError, unknown
from explainer.mobjects.captions import Captions
from explainer.mobjects.layout import Layout, fit_frame, layout
from explainer.mobjects.titles import heading, title_card
from explainer.mobjects.trace_sources import SURFACE, find_runs, find_sequence, find_slice, find_surface, lesson_runs
from explainer.mobjects.words import CAPTION, SMALL, Words
from explainer.surface import Slice, Surface, SurfaceSequence
from explainer.theme import THEMES, Theme
from explainer.trace import Trace, open_trace

READING = 15.0  # characters a second, for who reads slowly
SHORTEST = 1.8  # seconds that even one word stays
FADE = 0.3  # seconds in which a caption appears
CARD = 2.6  # seconds that a title card stands
TITLE = "EXPLAINER_TITLE"

# What a film can need of a trace, in words, and what to record to have it.
_NEEDS = {
    "activations": ("activations", "keep"),
    "gradients": ("gradients", "keep"),
    "parameters": ("parameters", "keep"),
    "parameter_gradients": ("parameter gradients", "keep"),
    "updates": ("updates", "keep"),
    "inputs": ("inputs", "keep"),
    "targets": ("targets", "keep"),
    "criterion": ("a loss", "criterion=criterion"),
    "probe": ("a probe", "probe=(inputs, targets)"),
}


class TraceScene(Scene):
    """A scene with `.trace`, `.theme`, `.layout` and captions.

    The trace is the class attribute `trace` (a trace, or its folder), else the folder that EXPLAINER_TRACE names
    (`explainer render --trace` sets it), else that of the scene's own `lesson`, recorded once and kept.

    A scene that `compares` runs has `.runs` too, several traces by name, of which `.trace` is the first: the class
    attribute `runs`, else the folder that EXPLAINER_TRACE names, with one for each, else those of the lesson. Where
    `least` is 1, a single trace will do, and is the only run.

    EXPLAINER_TITLE is JSON, {"title": …, "says": …, "card": "6 of 11"}: what a title card says before the film begins,
    where there is a "card", and what stands above the picture where the frame is higher than wide.

    Attributes:
        lesson: The lesson that the scene was made for.
        compares: Whether it shows several runs.
        least: How many it needs at least, if it does.
        needs: What must be in the trace: "activations", …, "criterion", "probe".
        surfaces: The surfaces that it draws, each as `lesson_surface` takes it: `explainer render` computes them
            beforehand; to be read without running the file, they are written out as a literal. Given another surface
            (EXPLAINER_SURFACE), a scene without `needs` shows that, and has no trace.
        said: Per caption its sentence, and the seconds when it began and ended.
        beats: Per beat its name and the second when it began.
    """

    trace: Trace
    runs: Mapping[str, Trace]
    lesson: ClassVar[str] = ""
    compares: ClassVar[bool] = False
    least: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ()
    surfaces: ClassVar[tuple[Mapping[str, Any], ...]] = ()

    theme: Theme
    layout: Layout

    def setup(self) -> None:
        """Find the trace and the theme, before anything is drawn."""
        self.theme = _theme()
        self.camera.background_color = self.theme.background  # type: ignore[union-attr]  # Cairo's, not OpenGL's
        fit_frame(self.camera)  # type: ignore[arg-type]  # Cairo's, not OpenGL's
        self.layout = layout()
        film = type(self).__name__
        if self.compares:
            own = getattr(self, "runs", None) or (getattr(self, "trace", None) if self.least == 1 else None)
            given = own or os.environ.get("EXPLAINER_TRACE")
            self.runs = find_runs(given, self.lesson, film, self.least)
            self.trace = next(iter(self.runs.values()))
        else:
            self.runs = {}
            if not self._surface_alone():
                self.trace = self._find_trace()
                _check(self.trace, self.needs, film)
        for trace in self.runs.values():
            _check(trace, self.needs, film)
        self.said: list[tuple[str, float, float]] = []
        self.beats: list[tuple[str, float]] = []
        self._caption: Words | None = None
        self._source: Words | None = None
        self._since = 0.0
        self._captions = Captions(film)
        self._show_title()

    def tear_down(self) -> None:
        """Hold the last caption until it is read."""
        with suppress(EndSceneEarlyException):  # only some animations were asked for
            self.finish_reading()
            self._captions.finish()

    @property
    def seconds(self) -> float:
        """How long the film is by now."""
        return float(self.renderer.time)

    def beat(self, name: str) -> None:
        """Begin a beat: a section of the film, where slides would pause."""
        self.beats.append((name, self.seconds))
        self.next_section(name)

    def say(self, sentence: str, *animations: Animation) -> None:
        """Show a sentence as the caption, once the one before has been read, while the animations play.

        It goes into the subtitles too. It stays until the next one; what is played meanwhile is time to read.
        EXPLAINER_CAPTIONS may say it in other words, or in the subtitles only.
        """
        self.finish_reading()
        if self._caption is not None:
            self.remove(self._caption)
        where = self.layout.caption
        size, words = CAPTION * self.layout.larger, self._captions.words(sentence)
        self._caption = where.place(Words(words, size=size, colour=self.theme.text, width=0.9 * where.width))
        self._since = self.seconds
        if not self._captions.shown:
            self.play(*animations or [Wait(FADE)])
            return
        self.play(FadeIn(self._caption, run_time=FADE), *animations)
        self.bring_to_back(self._caption)  # manim draws anew all that stands above what moves: still things lie below

    def finish_reading(self) -> None:
        """Wait until the caption on screen has been read, and write it to the subtitles."""
        if self._caption is None or (self.said and self.said[-1][1] == self._since):
            return
        sentence = self._caption.words
        left = max(SHORTEST, len(sentence) / READING) - (self.seconds - self._since)
        if left > 0:
            self.wait(max(left, self._frame))
        lasted = self.seconds - self._since
        self.add_subcaption(sentence, duration=lasted, offset=-lasted)
        self.said.append((sentence, self._since, self.seconds))

    def _show_title(self) -> None:
        """Show the title card, and let the title stand above the picture, where there is room for one."""
        told = json.loads(os.environ.get(TITLE) or "{}")
        if told.get("card"):
            self.beat("title")
            frame = self.layout.frame
            card = title_card(told["title"], told["says"], told["card"], theme=self.theme, width=0.8 * frame.width)
            self.play(FadeIn(card, run_time=FADE))
            self.wait(CARD)
            self.play(FadeOut(card, run_time=FADE))
        if told and self.layout.title is not None:
            place = self.layout.title
            words = heading(told["title"], told["says"], theme=self.theme, width=0.9 * place.width)
            camera: Any = self.renderer.camera
            camera.reset()
            camera.capture_mobjects([place.place(words)])
            camera.background = camera.pixel_array.copy()  # a part of the ground: no film can fade it out by mistake

    def source(self, step: int, *more: str) -> Words:
        """Write in the corner which step the numbers are from, and return the words; they are on screen at once."""
        dtype = str(next((layer.dtype for layer in self.trace.model.layers.values() if layer.dtype), "")) or "float"
        last = int(self.trace.steps[-1]) + 1
        words = " · ".join([f"step {step} of {last}", f"recorded, {dtype}", *more])
        if self._source is not None:
            self.remove(self._source)
        self._source = Words(words, size=SMALL, colour=self.theme.quiet)
        self.layout.header.place(self._source, across=1, up=1)
        self.add(self._source)
        return self._source

    def lesson_runs(self, lesson: str) -> dict[str, Trace]:
        """Return all runs of a lesson beside the scene's own, by name."""
        return lesson_runs(lesson)

    def surface(self, of: Mapping[str, Trace] | None = None, **choice: Any) -> Surface:
        """Return a surface with its walk: the folder's in EXPLAINER_SURFACE, else the lesson's.

        Args:
            of: The runs whose walks are on it; the film's own trace when omitted.
            choice: What `lesson_surface` takes: plane, resolution, …; the first of `surfaces` when omitted.
        """
        choice = choice or (dict(self.surfaces[0]) if self.surfaces and of is None else {})
        if of is None and not self._surface_alone():
            return find_surface(self.trace, **choice)
        return find_surface(of or {}, **choice)

    def slice(self, trace: Trace, span: tuple[float, float], resolution: int = 201) -> Slice:
        """Return the loss along the only weight of a lesson's trace."""
        return find_slice(trace, span, resolution)

    def surface_sequence(self, **choice: Any) -> SurfaceSequence:
        """Return the surfaces around the trace's weights: the folder's in EXPLAINER_SEQUENCE, else the lesson's."""
        return find_sequence(self.trace, **choice)

    def words(self, words: str, **kwargs: Any) -> Words:
        """Return words in the theme's colour."""
        return Words(words, **{"colour": self.theme.text, **kwargs})

    def show(self, *mobjects: Mobject, run_time: float = 0.6, **kwargs: Any) -> None:
        """Fade mobjects in."""
        self.play(*(FadeIn(mobject, **kwargs) for mobject in mobjects), run_time=run_time)

    @property
    def _frame(self) -> float:
        return 1 / float(self.renderer.camera.frame_rate)

    def _surface_alone(self) -> bool:
        """Say whether the film draws a surface only, and was given one: then it needs no trace."""
        given = getattr(self, "trace", None) or os.environ.get("EXPLAINER_TRACE")
        return bool(self.surfaces and not self.needs and os.environ.get(SURFACE) and not given)

    def _find_trace(self) -> Trace:
        given = getattr(self, "trace", None) or os.environ.get("EXPLAINER_TRACE")
        if isinstance(given, Trace):
            return given
        if given:
            return open_trace(Path(given))
        if not self.lesson:
            raise TraceError(
                f"{type(self).__name__} has no lesson of its own: name a trace with EXPLAINER_TRACE=FOLDER or --trace"
            )
        from explainer.lessons import record_lesson

        return record_lesson(self.lesson)


def _theme() -> Theme:
    name = os.environ.get("EXPLAINER_THEME", "dark")
    if name not in THEMES:
        raise ExplainerError(f"EXPLAINER_THEME: {unknown('theme', name, THEMES)}")
    return THEMES[name]


def _check(trace: Trace, needs: tuple[str, ...], film: str) -> None:
    """Say in one sentence what a film lacks, and show the line to record it with."""
    lacks = [need for need in needs if not _holds(trace, need)]
    if not lacks:
        return
    kinds = [need for need in needs if _NEEDS[need][1] == "keep"]
    options = ["criterion=criterion", "optimizer=optimizer"]
    options += [f"keep={tuple(kinds)!r}".replace("'", '"')] if any(lack in kinds for lack in lacks) else []
    options += ["probe=(inputs, targets)"] if "probe" in needs else []
    what = " and ".join(_NEEDS[lack][0] for lack in lacks)
    raise TraceError(
        f"{film} draws {what}, which {trace.folder or 'this trace'} does not hold; record it with\n"
        f"    explainer.record(model, path, {', '.join(options)})"
    )


def _holds(trace: Trace, need: str) -> bool:
    if need in ("criterion", "probe"):
        return getattr(trace, need) is not None
    if need in ("inputs", "targets"):
        try:
            return len(getattr(trace, need)) > 0
        except TraceError:
            return False
    return len(getattr(trace, need)) > 0
