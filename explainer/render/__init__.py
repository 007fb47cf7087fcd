"""Running scenes: found without being run, made several at once, joined, with subtitles, stills and progress."""

from explainer.render.crew import Film as Film
from explainer.render.crew import check_manim as check_manim
from explainer.render.crew import cores as cores
from explainer.render.crew import render as render
from explainer.render.finding import SceneFile as SceneFile
from explainer.render.finding import choose as choose
from explainer.render.finding import find_scenes as find_scenes
from explainer.render.finding import scenes_folder as scenes_folder
from explainer.render.finding import scenes_of as scenes_of
from explainer.render.settings import ASPECTS as ASPECTS
from explainer.render.settings import FORMATS as FORMATS
from explainer.render.settings import QUALITIES as QUALITIES
from explainer.render.settings import Settings as Settings
