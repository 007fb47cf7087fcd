"""A trace: all that was recorded of one run, read lazily from memory or from its folder on disk.

trace.steps · trace.layers · trace.scalars["loss"]
trace.activations["0"] · trace.gradients["0"]
trace.parameters["0.weight"] · trace.parameter_gradients["0.weight"] · trace.updates["0.weight"]
trace.inputs · trace.targets · trace.probe · trace.statistics["gradients"]["0"]["norm"]
"""

import bisect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.architecture import Model
from explainer.errors import MissingDependency, TraceError, UnknownName, unknown
from explainer.recordings import Recordings, Steps, StepTensors
from explainer.statistics import STATISTICS
from explainer.storage import FORMAT, Array, Shard, ShardFile, shard_paths

if TYPE_CHECKING:
    import pandas


def open_trace(path: str | Path) -> "Trace":
    """Open the folder of a trace, also while its run goes on.

    Raises:
        TraceError: There is no trace, it is of a newer format, or a part of it is missing or damaged.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise TraceError(f"{folder}: there is no such folder; a trace is the folder that explainer.record wrote")
    return Trace(*_read(folder), folder=folder)


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
        self._about = about
        self._steps.take(shards, about)
        self._columns: dict[str, dict[str, Array]] = {}
        try:
            self.model = Model.from_json(about["model"])
            self.layers: tuple[str, ...] = tuple(about["layers"])
            self.missing: dict[str, str] = dict(about["missing"])
            self.aliases: dict[str, str] = dict(about["aliases"])
            self.notes: dict[str, Any] = dict(about["notes"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TraceError(f"{self.folder}: trace.json says {error!r} instead of what a trace needs") from error

    def refresh(self) -> "Trace":
        """See the steps that were recorded since the trace was opened; returns the trace itself."""
        if self.folder is not None:
            self._take(*_read(self.folder, known=self._steps.shards))
        return self

    @property
    def finished(self) -> bool:
        """Whether the recording ended well: False while it goes on, and when it was killed."""
        return bool(self._about["finished"])

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
        numbers = self._steps.numbers
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
        return Columns("scalar", self._table("scalars", ()))

    @property
    def statistics(self) -> dict[str, "Columns"]:
        """Per kind, name and statistic (S,): `trace.statistics["gradients"]["0"]["norm"]`.

        Over the whole batch; "std" is the population's, as `torch.std(correction=0)`; NaN where a step has none.
        """
        kinds = dict.fromkeys(kind for shard in self._steps.shards for kind in shard.tables("statistics"))
        return {
            kind: Columns(
                f"tensor with statistics of its {kind}",
                {
                    name: Columns("statistic", dict(zip(STATISTICS, values.T, strict=True)))
                    for name, values in self._table(f"statistics/{kind}", (len(STATISTICS),)).items()
                },
            )
            for kind in kinds
        }

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
        columns = ["step", "kind", "name", "statistic", "value"]
        series = [("scalars", name, "value", values) for name, values in self.scalars.items()]
        for kind, names in self.statistics.items():
            series += [(kind, name, which, values) for name, row in names.items() for which, values in row.items()]
        parts = [
            pandas.DataFrame(dict(zip(columns, (self.steps, kind, name, which, values), strict=True)))
            for kind, name, which, values in series
        ]
        return pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame(columns=columns)

    def _table(self, table: str, cell: tuple[int, ...]) -> dict[str, Array]:
        """Join a table's columns over the shards: each (S, *cell), NaN where a shard has none."""
        if table not in self._columns:
            joined: dict[str, Array] = {}
            start = 0
            for shard in self._steps.shards:
                stop = start + len(shard.steps)
                for name, values in shard.columns(table).items():
                    whole = joined.setdefault(name, np.full((len(self), *cell), np.nan))
                    whole[start:stop] = values
                start = stop
            self._columns[table] = joined
        return self._columns[table]

    def __repr__(self) -> str:
        where = "in memory" if self.folder is None else f"in {self.folder}"
        steps = self._steps.numbers
        span = f", steps {steps[0]} to {steps[-1]}" if steps else ""
        return f"<Trace of {self.model.type} {where}: {len(steps)} recorded steps{span}, {len(self.layers)} layers>"


class Columns(dict[str, Any]):
    """A dict whose missing keys are explained."""

    def __init__(self, what: str, columns: Mapping[str, Any]) -> None:
        super().__init__(columns)
        self._what = what

    def __missing__(self, name: str) -> Any:
        raise UnknownName(unknown(self._what, name, self))


def _read(folder: Path, known: Sequence[Shard] = ()) -> tuple[list[Shard], dict[str, Any]]:
    about = _read_about(folder)
    paths = shard_paths(folder)
    count = about["shards"] if about["finished"] else len(paths)
    for number, path in enumerate(paths[:count]):
        if int(path.stem) != number:
            raise TraceError(f"{folder}: shard {number:06d} is missing; restore it from a copy, or record again")
    if len(paths) < count:
        raise TraceError(f"{folder}: shard {len(paths):06d} is missing; restore it from a copy, or record again")
    return [*known, *map(_open_shard, paths[len(known) : count])], about


def _open_shard(path: Path) -> Shard:
    file = ShardFile(path)
    try:
        return Shard(file, file.shapes, file.metadata)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TraceError(f"{path} is a safetensors file, but no shard of a trace") from error


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / "trace.json"
    try:
        about: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        empty = "is empty" if not any(folder.iterdir()) else "holds no trace.json"
        raise TraceError(
            f"{folder} {empty}, so it is not a trace; a trace is the folder that explainer.record wrote"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise TraceError(f"{path} cannot be read ({error}); restore it from a copy, or record again") from error
    form = about.get("format") if isinstance(about, dict) else None
    if not isinstance(form, int):
        raise TraceError(f"{path} holds no format number, so {folder} is not a trace")
    if form > FORMAT:
        raise TraceError(
            f"{folder} is a trace of format {form}; this version reads up to {FORMAT}: pip install -U explainer"
        )
    if not _ABOUT.items() <= {key: type(value) for key, value in about.items()}.items():
        wrong = [key for key, kind in _ABOUT.items() if type(about.get(key)) is not kind]
        raise TraceError(f"{path} lacks or mistypes {', '.join(wrong)}; restore it from a copy, or record again")
    if about["finished"] and not isinstance(about["shards"], int):
        raise TraceError(f"{path} does not say how many shards there are; restore it from a copy, or record again")
    return dict(about)


_ABOUT: dict[str, type] = {
    "model": dict, "layers": list, "missing": dict, "aliases": dict, "notes": dict, "keep": list, "finished": bool,
}  # fmt: skip
