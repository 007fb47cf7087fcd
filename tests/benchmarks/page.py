"""How large a page is, how soon it is ready, and how long a step of its slider takes, in a real browser.

    python tests/benchmarks/page.py [--short]

A step is timed from the slider's event until everything in sight is drawn and laid out: what the browser's one thread
is busy with. Beside it stand how long one frame takes when the slider moves in every frame, and the processor's time
for all of it, painting without a graphics card included; the latter is lengthened least by other work on the machine.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from browser import Visit, browser
from surfaces import make_surface, make_walk

import explainer
from explainer import lessons
from explainer.page import make_page
from explainer.surface import Surface
from explainer.trace import Trace

STEPS = """async count => {
  const slider = document.getElementById('slider');
  const [busy, frames] = [[], []];
  const frame = () => new Promise(requestAnimationFrame);
  const end = Number(slider.max);
  let before = await frame();
  for (let i = 0; i < count; i++) {
    const begun = performance.now();
    slider.value = Math.round((i * 7919) % (end + 1));
    slider.dispatchEvent(new Event('input'));
    window.lessonStore.flush();
    document.body.getBoundingClientRect();
    busy.push(performance.now() - begun);
    const now = await frame();
    frames.push(now - before);
    before = now;
  }
  return [busy, frames];
}"""


def digits_of_150_steps() -> tuple[Trace, Surface]:
    """Record the lecture's network for 150 steps, every one of them."""
    model, criterion, images = lessons.problem_of(lessons.record_lesson("digits", steps=1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    probe = tuple(each[:10] for each in images)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, probe=probe) as recorder:
        recorder.note(image_shape=[28, 28], classes=[str(digit) for digit in range(10)])
        for step in range(150):
            batch = slice(64 * (step % 22), 64 * (step % 22) + 64)
            optimizer.zero_grad()
            criterion(model(images[0][batch]), images[1][batch]).backward()
            optimizer.step()
    return recorder.trace, surface_of(150)


def surface_of(steps: int) -> Surface:
    """Make a surface as fine as a lesson's, with a walk of so many steps."""
    path = np.column_stack([np.linspace(1.5, 0, steps), np.linspace(-0.8, 0.1, steps) ** 2])
    walk = make_walk(path)
    return make_surface({"walk": type(walk)(**{**vars(walk), "steps": np.arange(steps)})}, shape=(51, 51))


def hundred_layers(steps: int) -> tuple[Trace, Surface]:
    """Record a network of 100 layers for so many steps."""
    torch.manual_seed(0)
    blocks = [layer for _ in range(50) for layer in (nn.Linear(24, 24), nn.Tanh())]
    model = nn.Sequential(nn.Linear(16, 24), *blocks[:-2], nn.Linear(24, 10))
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.01)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of layers so small, more only wait for each other
    options: dict[str, Any] = {"examples": 1, "keep": ("activations", "gradients", "inputs", "targets")}
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(torch.randn(32, 16)), torch.randint(0, 10, (32,))).backward()
            optimizer.step()
    torch.set_num_threads(threads)
    return recorder.trace, surface_of(steps)


def measure(name: str, make: Callable[[], tuple[Trace, Surface]], chromium: Any, folder: Path) -> None:
    """Print one row."""
    trace, surface = make()
    begun = time.perf_counter()
    page = make_page(trace, surface=surface)
    took = time.perf_counter() - begun
    file = page.save(folder / "page.html")
    ready = []
    for _ in range(5):
        visit = Visit(chromium, file)
        ready.append(visit.page.evaluate("() => Number(document.documentElement.dataset.ready)"))
        if len(ready) < 5:
            visit.close()
    devtools = visit.context.new_cdp_session(visit.page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = spent(devtools)
    busy, frames = visit.page.evaluate(STEPS, 200)
    processor = 1000 * (spent(devtools) - before) / 200
    shown = int(visit.page.locator("#slider").get_attribute("max")) + 1
    visit.close()
    print(
        f"{name:<34} {len(page.html.encode()) / 1000:8,.0f} kB {min(ready):5.0f} ms {statistics.median(busy):7.1f} ms "
        f"{statistics.quantiles(busy, n=20)[-1]:7.1f} ms "
        f"{max(busy):7.1f} ms {statistics.median(frames):7.1f} ms {processor:8.1f} ms   "
        f"{shown:,} of {len(trace):,} steps shown, "
        f"made in {took:.1f} s"
    )


def spent(devtools: Any) -> float:
    """Return the seconds that the page's thread has worked."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")


def main() -> None:
    """Print sizes and times."""
    print(
        f"{'':<34} {'size':>11} {'ready':>8} {'a step':>10} {'19 of 20':>10} {'worst':>10} {'a frame':>10} {'work':>11}"
    )
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        measure("digits, 150 steps", digits_of_150_steps, chromium, Path(folder))
        if "--short" not in sys.argv:
            measure("100 layers, 2,000 steps", lambda: hundred_layers(2000), chromium, Path(folder))


if __name__ == "__main__":
    main()
