"""A trace: all that was recorded of one run, read lazily from memory or from its folder on disk.

trace.steps · trace.layers · trace.scalars["loss"]
trace.activations["0"] · trace.gradients["0"]
trace.parameters["0.weight"] · trace.parameter_gradients["0.weight"] · trace.updates["0.weight"]
trace.inputs · trace.targets · trace.probe · trace.statistics["gradients"]["0"]["norm"]
"""

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.architecture import Model
from explainer.errors import MissingDependency, TraceError, UnknownName, unknown, whole
from explainer.ranks import read_trace
from explainer.recordings import Recordings, Steps, StepTensors
from explainer.statistics import STATISTICS
from explainer.storage import Array, Shard

if TYPE_CHECKING:
    import pandas

    from explainer.page import Page


def open_trace(path: str | Path) -> "Trace":
    """Open the folder of a trace, also while its run goes on.

    Raises:
        TraceError: There is no trace, it is of a newer format, or a part of it is missing or damaged.
    """
    folder = Path(path)
    return Trace(*read_trace(folder), folder=folder)


class Probed:
    """The same examples, seen at every recorded step.

    Attributes:
        inputs: (example, …), and so are `targets`; None where there were none.
        activations: Per layer (S, example, …).
    """

    def __init__(self, steps: Steps, inputs: Array | None, targets: Array | None) -> None:
        self.inputs, self.targets = inputs, targets
        self.activations = Recordings(steps, "probe")


class CriterionSeen:
    """What the loss module was given, and the gradient that it sent back.

    Attributes:
        inputs: (S, example, …) the criterion's first argument.
        gradients: (S, example, …) ∂loss/∂(that argument).
    """

    def __init__(self, steps: Steps) -> None:
        self.inputs = StepTensors(steps, "criterion", "input")
        self.gradients = StepTensors(steps, "criterion", "gradient")


class Trace:
    """What was recorded of one run; get one from `explainer.open_trace` or `recorder.trace`."""

    def __init__(self, shards: Sequence[Shard], about: Mapping[str, Any], folder: Path | None = None) -> None:
        self.folder = folder
        self._steps = Steps()
        self._take(shards, about)
        steps = self._steps
        self.activations = Recordings(steps, "activations")
        self.gradients = Recordings(steps, "gradients")
        self.parameters = Recordings(steps, "parameters")
        self.parameter_gradients = Recordings(steps, "parameter_gradients")
        self.updates = Recordings(steps, "updates")

    def _take(self, shards: Sequence[Shard], about: Mapping[str, Any]) -> None:
        try:
            self.model = Model.from_json(about["model"])
        except TypeError as error:  # a word that no layer has
            raise TraceError(f"{self.folder}: trace.json describes no model: {error}; record again") from error
        self._about = about
        self._steps.take(shards, about)
        self.layers: tuple[str, ...] = tuple(about["layers"])
        self.missing: dict[str, str] = dict(about["missing"])
        self.aliases: dict[str, str] = {name: self.model.source(of, name) for name, of in about["aliases"].items()}
        self.notes: dict[str, Any] = dict(about["notes"])

    def refresh(self) -> "Trace":
        """See the steps that were recorded since the trace was opened; returns the trace itself."""
        if self.folder is not None:
            self._take(*read_trace(self.folder, known=self._steps.shards))
        return self

    @property
    def finished(self) -> bool:
        """Whether the recording ended well: False while it goes on, and when it was killed."""
        return bool(self._about["finished"])

    @property
    def ranks(self) -> int:
        """How many processes recorded the run, as under DistributedDataParallel; see `explainer.ranks`."""
        return int(self._about.get("ranks", 1))

    @property
    def steps(self) -> Array:
        """(S,) the recorded step numbers."""
        return np.array(self._steps.numbers, np.int64)

    def __len__(self) -> int:
        return len(self._steps.numbers)

    def index_of(self, step: int) -> int:
        """Return where a step stands among the recorded; a negative one counts from the last.

        Raises:
            TraceError: The step was not recorded; the nearest that was is named.
        """
        numbers, step = self._steps.numbers, whole("a step", step)
        if not numbers:
            raise TraceError(f"the trace holds no step: {self.missing.get('loss', 'nothing was recorded')}")
        if -len(numbers) <= step < 0:
            return len(numbers) + step
        place = bisect.bisect_left(numbers, step)
        if place < len(numbers) and numbers[place] == step:
            return place
        nearest = min(numbers, key=lambda number: abs(number - step))
        raise TraceError(
            f"step {step} was not recorded; the nearest is {nearest} "
            f"({len(numbers)} were, from {numbers[0]} to {numbers[-1]})"
        )

    @property
    def scalars(self) -> "Columns":
        """Per name (S,): "loss", "learning_rate" and whatever was logged; NaN where a step has none."""
        return Columns("scalar", self._steps.columns("scalars"), lambda name: self._steps.column("scalars", name))

    @property
    def statistics(self) -> "Columns":
        """Per kind, name and statistic (S,): `trace.statistics["gradients"]["0"]["norm"]`.

        Over the whole batch; "std" is the population's, as `torch.std(correction=0)`; NaN where a step has none.
        """
        return Columns("kind with statistics", self._steps.tables("statistics"), self._statistics_of)

    def _statistics_of(self, kind: str) -> "Columns":
        table = f"statistics/{kind}"

        def row(name: str) -> Columns:
            columns = dict(zip(STATISTICS, self._steps.column(table, name).T, strict=True))
            return Columns("statistic", STATISTICS, columns.__getitem__)

        return Columns(f"tensor with statistics of its {kind}", self._steps.columns(table), row)

    @property
    def events(self) -> list[list[str]]:
        """Per recorded step what happened in its order: "forward 0", …, "loss", "backward 0", …, "update"."""
        return [row for shard in self._steps.shards for row in shard.events()]

    @property
    def inputs(self) -> StepTensors:
        """(S, example, …) the model's first input."""
        return Recordings(self._steps, "inputs")["inputs"]

    @property
    def targets(self) -> StepTensors:
        """(S, example, …) the targets given to the criterion."""
        return Recordings(self._steps, "targets")["targets"]

    @property
    def probe(self) -> Probed | None:
        """What the same examples looked like at every recorded step; None without a probe."""
        inputs = self._steps.constant("probe.inputs")
        return None if inputs is None else Probed(self._steps, inputs, self._steps.constant("probe.targets"))

    @property
    def criterion(self) -> CriterionSeen | None:
        """What the loss module was given and sent back; None without one."""
        return CriterionSeen(self._steps) if self.model.criterion else None

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return all scalars and statistics in long form: step, kind, name, statistic, value.

        Raises:
            MissingDependency: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingDependency("pandas", "trace.to_dataframe()", "dataframe") from error
        keys: list[tuple[str, str, str]] = []  # (kind, name, statistic), each with its steps and its values
        recorded, steps = self.steps, list[Array]()
        values: list[Array] = []
        for kind, table, which in [
            ("scalars", "scalars", ("value",)),
            *((kind, f"statistics/{kind}", STATISTICS) for kind in self._steps.tables("statistics")),
        ]:
            for name in self._steps.columns(table):
                found = list(self._steps.parts(table, name))
                numbers = [recorded[start : start + len(part)] for start, part in found]
                for place, statistic in enumerate(which):
                    keys.append((kind, name, statistic))
                    steps.append(np.concatenate(numbers))
                    values.append(np.concatenate([part.reshape(len(part), -1)[:, place] for _, part in found]))
        lengths = [len(part) for part in steps]
        words = {
            word: np.repeat(np.array([key[place] for key in keys], object), lengths)
            for place, word in enumerate(("kind", "name", "statistic"))
        }
        ends = np.empty(0, np.int64), np.empty(0)  # of the right dtype, where there is nothing to join
        joined = np.concatenate([*steps, ends[0]]), np.concatenate([*values, ends[1]])
        return pandas.DataFrame({"step": joined[0], **words, "value": joined[1]})

    def page(self, **options: Any) -> "Page":
        """Return the run as a page to scrub through; a notebook shows it in its place.

        Args:
            options: What `explainer.page.make_page` takes: surface, title, language, films, ….

        Raises:
            TraceError: The trace holds no step.
        """
        from explainer.page import make_page

        return make_page(self, **options)

    def _repr_html_(self) -> str:
        """Return a summary with small pictures, which a notebook shows for a trace."""
        from explainer.integrations.jupyter import summary

        return summary(self)

    def __repr__(self) -> str:
        where = "in memory" if self.folder is None else f"in {self.folder}"
        steps = self._steps.numbers
        span = f", steps {steps[0]} to {steps[-1]}" if steps else ""
        return f"<Trace of {self.model.type} {where}: {len(steps)} recorded steps{span}, {len(self.layers)} layers>"


class Columns(Mapping[str, Any]):
    """Columns by name, each joined when it is asked for; names that there are not are explained."""

    def __init__(self, what: str, names: Iterable[str], read: Callable[[str], Any]) -> None:
        self._what, self._names, self._read = what, dict.fromkeys(names), read

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise UnknownName(unknown(self._what, name, self))
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __repr__(self) -> str:
        return f"<{', '.join(self) or 'nothing'}>"
