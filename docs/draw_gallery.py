"""Draw the gallery: every figure by its example in docs/gallery, every film's last frame, and a page that shows them.

python docs/draw_gallery.py                 # figures and page, into renders/gallery
python docs/draw_gallery.py loss weights    # some figures, and the page
python docs/draw_gallery.py --films         # the films' last frames too: minutes
"""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from explainer import plots

HERE = Path(__file__).parent
EXAMPLES = HERE / "gallery"
GALLERY = HERE.parent / "renders" / "gallery"
SCENES = HERE.parent / "scenes"
COLOURS = 128  # of a picture's palette: a third of the bytes, and no difference that one sees


def run(example: Path, folder: Path) -> Path:
    """Run an example, which writes its picture into the folder; returns the picture.

    Raises:
        SystemExit: It wrote none.
    """
    mpl.use("Agg")
    with mock.patch.object(sys, "argv", [str(example), str(folder)]), mpl.rc_context():
        runpy.run_path(str(example), run_name="__main__")
    plt.close("all")
    picture = folder / f"{example.stem}.png"
    if not picture.exists():
        raise SystemExit(f"{example} wrote no {picture.name}")
    return picture


def examples() -> dict[str, Path]:
    """Return by figure the example that draws it, in the order of `explainer plot --list`."""
    return {name: EXAMPLES / f"{name}.py" for name in plots.FIGURES}


def films() -> dict[str, str]:
    """Return by film the first line of what it tells, in the order of their files."""
    sources = "".join(file.read_text(encoding="utf-8") for file in sorted(SCENES.glob("*.py")))
    return dict(re.findall(r'^class (\w+)\(TraceScene\):\n    """(.+?)(?:""")?$', sources, re.MULTILINE))


def page() -> str:
    """Return the gallery as Markdown, which stands beside the pictures."""
    parts = [
        "# Gallery\n\nEvery figure, with the lines that made it, and the last frame of every film. All are drawn of "
        "real recorded runs by\n`make gallery`; the lines run in the tests. For who cannot see a figure, "
        "`explainer.plots.describe(axes)` says it in words.\n\n## Figures\n"
    ]
    for name, example in examples().items():
        code = example.read_text(encoding="utf-8").strip()
        question = plots.FIGURES[name].question
        parts.append(f"### `{name}`\n\n{question}\n\n![{question}]({name}.png)\n\n```python\n{code}\n```\n")
    parts.append("## Films\n\n`explainer render NAME`; all of them in one: `explainer render lecture`.\n")
    parts += [f"### `{name}`\n\n{says}\n\n![Last frame of {name}]({name}.png)\n" for name, says in films().items()]
    return "\n".join(parts)


def main(*arguments: str) -> None:
    """Draw the figures named, or all; with --films the films' last frames too; and write the page."""
    GALLERY.mkdir(parents=True, exist_ok=True)
    wanted = [each for each in arguments if not each.startswith("-")] or list(examples())
    with tempfile.TemporaryDirectory() as made:
        for name in wanted:
            sys.stdout.write(f"  {name}\n")
            pack(run(examples()[name], Path(made)), GALLERY / f"{name}.png")
        if "--films" in arguments:
            names = list(films())
            subprocess.run([sys.executable, "-m", "explainer", "render", *names, "--stills", "-o", made], check=True)
            for name in names:
                shutil.copyfile(Path(made) / f"{name}.png", GALLERY / f"{name}.png")
    (GALLERY / "README.md").write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{GALLERY / 'README.md'}\n")


def pack(picture: Path, target: Path) -> None:
    """Write a picture with a palette."""
    with Image.open(picture) as image:
        words = image.info.get("Description")
        few = image.convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    info = PngInfo()
    if words:
        info.add_itxt("Description", words)
    few.save(target, "PNG", optimize=True, pnginfo=info)


if __name__ == "__main__":
    main(*sys.argv[1:])
