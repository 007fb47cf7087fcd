"""What a film says, sentence by sentence: its own words, those of another language, or nothing on screen."""

from __future__ import annotations

import os
from pathlib import Path

from explainer.errors import ExplainerError
from explainer.subtitles import read_sentences

CAPTIONS = "EXPLAINER_CAPTIONS"  # on, off, or an .srt with other words


class Captions:
    """Chooses the words of each caption.

    Another language is an .srt with as many sentences as the film has, in the same order: who translates the .srt that
    lies beside a film has it. Its times do not matter.

    Attributes:
        shown: Whether captions are on screen; else they are in the subtitles only.
    """

    def __init__(self, film: str, chosen: str | None = None) -> None:
        """Read what is chosen; EXPLAINER_CAPTIONS, or "on", when omitted.

        Raises:
            ExplainerError: The file cannot be read, or a sentence in it is empty.
        """
        chosen = chosen or os.environ.get(CAPTIONS) or "on"
        self.film, self.chosen, self.shown = film, chosen, chosen != "off"
        self._instead = None if chosen in ("on", "off") else read_sentences(Path(chosen))
        self._said = 0

    def words(self, sentence: str) -> str:
        """Return what is said instead of the film's next sentence.

        Raises:
            ExplainerError: The file has no sentence left.
        """
        self._said += 1
        if self._instead is None:
            return sentence
        if self._said > len(self._instead):
            raise ExplainerError(
                f"{self.chosen} has {_sentences(self._instead)}, and {self.film} says another after that: "
                f"{sentence!r}; translate the .srt that lies beside the film, all of it"
            )
        return self._instead[self._said - 1]

    def finish(self) -> None:
        """Make sure that all was said.

        Raises:
            ExplainerError: The file has more sentences than the film.
        """
        if self._instead is not None and self._said < len(self._instead):
            raise ExplainerError(
                f"{self.chosen} has {_sentences(self._instead)}, and {self.film} says {self._said}: it is of "
                "another film, or of another run"
            )


def _sentences(said: list[str]) -> str:
    return f"{len(said) or 'no'} sentence{'s' * (len(said) > 1)}"
