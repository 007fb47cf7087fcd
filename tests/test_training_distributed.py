"""DistributedDataParallel on two real processes: a folder per rank, gradients as averaged, nobody waits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import explainer
from explainer.errors import RecordingError
from explainer.recorder.distributed import Rank, take_place
from explainer.writer import TraceWriter
from tests.networks import batch_for, mlp, seeded

RANKS, STEPS = 2, 4
NAMES = ["0.weight", "0.bias", "2.weight", "2.bias"]

pytestmark = [
    pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="torch without gloo"),
    pytest.mark.slow,
]


# What each of the two processes does; they are started once, and do everything in turn.


class Unused(nn.Sequential):
    """A network with a layer that the loss does not depend on."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(5, 3))
        self.idle = nn.Linear(5, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self[0](inputs)


class Run:
    """One training of one rank, and what it saw by itself."""

    def __init__(self, rank: int, make: Callable[[], nn.Module] = mlp, **options: Any) -> None:
        self.rank, self.model = rank, seeded(make)
        self.parallel = DistributedDataParallel(self.model, **options)
        self.criterion, self.optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(self.parallel.parameters(), lr=0.1)
        self.used: list[dict[str, torch.Tensor]] = []  # the gradients at each step

    def record(self, path: Path | None, model: nn.Module | None = None, **options: Any) -> explainer.recorder.Recorder:
        given = self.parallel if model is None else model
        return explainer.record(
            given, path, criterion=self.criterion, optimizer=self.optimizer, examples=None, **options
        )

    def steps(self, steps: int = STEPS, trained: Any = None, micro_batches: int = 1) -> None:
        for step in range(steps):
            self.optimizer.zero_grad()
            inputs, targets = batch_for(self.model, 10 * step + self.rank)
            parts = list(zip(inputs.chunk(micro_batches), targets.chunk(micro_batches), strict=True))
            for part, answer in parts[:-1]:
                with self.parallel.no_sync():
                    self.criterion(self.parallel(part), answer).backward()
            self.criterion((self.parallel if trained is None else trained)(parts[-1][0]), parts[-1][1]).backward()
            self.used.append(
                {name: each.grad.clone() for name, each in self.model.named_parameters() if each.grad is not None}
            )
            self.optimizer.step()

    def result(self) -> dict[str, Any]:
        return {"used": self.used, "weights": {name: each.detach() for name, each in self.model.named_parameters()}}


def plain(rank: int, folder: Path) -> Any:
    bare = Run(rank)
    bare.steps()
    run = Run(rank)
    with run.record(folder) as recorder:
        run.steps()
    assert recorder.failure is None
    own = recorder.trace
    return run.result() | {"bare": bare.result()["weights"], "own": str(own.folder), "own_input": own.inputs[0]}


def failing(rank: int, folder: Path) -> Any:
    run = Run(rank)
    with warnings.catch_warnings(action="ignore"), pytest.MonkeyPatch.context() as patch:
        if rank == 1:
            patch.setattr(TraceWriter, "flush", full)
        with run.record(folder) as recorder:
            run.steps()
    return run.result() | {"failure": repr(recorder.failure)}


def full(writer: TraceWriter) -> None:
    raise OSError(28, "No space left on device")


def uneven(rank: int, folder: Path) -> Any:
    run = Run(rank)
    with run.record(folder, every=1 + rank, probe=batch_for(run.model, 99)):
        run.steps()
    return run.result()


def raising(rank: int, folder: Path) -> Any:
    run = Run(rank)
    try:
        with run.record(folder):
            run.steps(2)
            if rank == 1:
                raise ValueError("a rank's own mistake")
    except ValueError as error:
        return {"raised": str(error)}
    return {"raised": None}


def accumulating(rank: int, folder: Path) -> Any:
    run = Run(rank)
    with run.record(folder):
        run.steps(micro_batches=3)
    return run.result()


def unused(rank: int, folder: Path) -> Any:
    run = Run(rank, Unused, find_unused_parameters=True)
    with run.record(folder):
        run.steps()
    return run.result()


def static(rank: int, folder: Path) -> Any:
    run = Run(rank, static_graph=True)
    with run.record(folder):
        run.steps()
    return run.result()


def compiled(rank: int, folder: Path) -> Any:
    run = Run(rank)
    trained = torch.compile(run.parallel, backend="eager")
    with warnings.catch_warnings(action="ignore"), run.record(folder, model=trained):
        run.steps(trained=trained)
    return run.result()


def wrapped_later(rank: int, folder: Path) -> Any:
    run = Run(rank)
    with run.record(folder, model=run.model):
        run.steps()
    return run.result()


def again(rank: int, folder: Path) -> Any:
    said = []
    for overwrite in (False, False, True):
        dist.barrier()  # both begin at the same moment
        run = Run(rank)
        try:
            with run.record(folder, overwrite=overwrite):
                run.steps(2)
        except RecordingError as error:
            said.append(str(error).removeprefix(str(folder)))
        dist.barrier()
    return {"said": said}


def in_memory(rank: int, folder: Path) -> Any:
    run = Run(rank)
    with run.record(None) as recorder:
        run.steps(2)
    return {"rank": recorder.trace._about["rank"]}


CASES = [
    plain, failing, uneven, raising, accumulating, unused, static, compiled, wrapped_later, again, in_memory
]  # fmt: skip


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=RANKS)
    try:
        found = {case.__name__: case(rank, folder / case.__name__) for case in CASES}
        torch.save(found, folder / f"found{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(process, (place,), nprocs=RANKS)
    return place


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, list[Any]]:
    of_ranks = [torch.load(folder / f"found{rank}.pt", weights_only=False) for rank in range(RANKS)]
    return {case.__name__: [each[case.__name__] for each in of_ranks] for case in CASES}


def by_hand(steps: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train in one process what two trained; returns each step's mean gradients, and each rank's hidden activations."""
    model = seeded(mlp)
    averaged, hidden = [], []
    for step in range(steps):
        of_ranks, shown = [], {}
        for rank in range(RANKS):
            inputs, targets = batch_for(model, 10 * step + rank)
            loss = nn.functional.cross_entropy(model(inputs), targets)
            of_ranks.append(torch.autograd.grad(loss, list(model.parameters())))
            shown[rank] = nn.functional.linear(inputs, model[0].weight, model[0].bias).detach()
        mean = [(first + second) / 2 for first, second in zip(*of_ranks, strict=True)]
        averaged.append(dict(zip(NAMES, mean, strict=True)))
        hidden.append(shown)
        with torch.no_grad():
            for each, gradient in zip(model.parameters(), mean, strict=True):
                each -= 0.1 * gradient
    return averaged, hidden


def test_two_processes_train_bitwise_as_without_a_recorder(found: dict[str, list[Any]]) -> None:
    for rank in found["plain"]:
        for name in NAMES:
            assert torch.equal(rank["weights"][name], rank["bare"][name]), name


@pytest.mark.parametrize("rank", range(RANKS))
@pytest.mark.parametrize("case", ["plain", "static", "compiled", "wrapped_later"])
def test_a_rank_records_its_own_batch_and_the_gradients_as_averaged(
    folder: Path, found: dict[str, list[Any]], case: str, rank: int
) -> None:
    averaged, hidden = by_hand(STEPS)
    trace = explainer.open_trace(folder / case / f"rank{rank}")
    assert trace._about["rank"] == {"rank": rank, "of": RANKS}
    assert trace.layers == ("0", "1", "2") and list(trace.parameters) == NAMES and trace.missing == {}
    assert trace.steps.tolist() == list(range(STEPS))
    for step in range(STEPS):
        np.testing.assert_allclose(trace.activations["0"][step], hidden[step][rank], rtol=1e-4, atol=1e-6)
        for name in NAMES:
            used = found[case][rank]["used"][step][name]
            np.testing.assert_array_equal(trace.parameter_gradients[name][step], used)
            np.testing.assert_allclose(used, averaged[step][name], rtol=1e-4, atol=1e-7)


def test_the_recorder_of_each_process_shows_its_own_rank(folder: Path, found: dict[str, list[Any]]) -> None:
    for rank, of_rank in enumerate(found["plain"]):
        assert of_rank["own"] == str(folder / "plain" / f"rank{rank}")
        np.testing.assert_array_equal(of_rank["own_input"], batch_for(mlp(), rank)[0])


def test_the_ranks_open_as_one_trace(folder: Path) -> None:
    trace = explainer.open_trace(folder / "plain")
    both = np.concatenate([batch_for(mlp(), rank)[0] for rank in range(RANKS)])
    np.testing.assert_array_equal(trace.inputs[0], both)


def test_a_rank_that_cannot_write_keeps_nobody_from_training(folder: Path, found: dict[str, list[Any]]) -> None:
    good, bad = found["failing"]
    assert good["failure"] == "None" and "No space left" in bad["failure"]
    for name in NAMES:
        assert torch.equal(good["weights"][name], found["plain"][0]["weights"][name])
        assert torch.equal(bad["weights"][name], good["weights"][name])
    assert explainer.open_trace(folder / "failing" / "rank0").steps.tolist() == list(range(STEPS))


def test_ranks_may_record_other_steps_and_probe(folder: Path, found: dict[str, list[Any]]) -> None:
    for rank, steps in enumerate([[0, 1, 2, 3], [0, 2]]):
        assert explainer.open_trace(folder / "uneven" / f"rank{rank}").steps.tolist() == steps
        assert all(
            torch.equal(found["uneven"][rank]["weights"][name], found["plain"][0]["weights"][name]) for name in NAMES
        )


def test_a_rank_that_raises_leaves_its_recording_without_waiting(folder: Path, found: dict[str, list[Any]]) -> None:
    assert [each["raised"] for each in found["raising"]] == [None, "a rank's own mistake"]
    for rank in range(RANKS):
        assert explainer.open_trace(folder / "raising" / f"rank{rank}").steps.tolist() == [0, 1]


@pytest.mark.parametrize("rank", range(RANKS))
def test_accumulation_without_synchronising_is_one_step(folder: Path, found: dict[str, list[Any]], rank: int) -> None:
    trace = explainer.open_trace(folder / "accumulating" / f"rank{rank}")
    assert trace.steps.tolist() == list(range(STEPS))
    np.testing.assert_array_equal(trace.inputs[0], batch_for(mlp(), rank)[0])
    for step in range(STEPS):
        for name in NAMES:
            used = found["accumulating"][rank]["used"][step][name]
            np.testing.assert_array_equal(trace.parameter_gradients[name][step], used)


def test_a_layer_that_is_not_used_is_named(folder: Path) -> None:
    trace = explainer.open_trace(folder / "unused" / "rank1")
    assert trace.missing["idle"] == "no activation: the layer was not called"
    assert "none arrived" in trace.missing["idle.weight"]
    assert set(trace.missing) == {"idle", "idle.weight", "idle.bias"}


def test_two_ranks_that_start_together_refuse_or_replace_together(found: dict[str, list[Any]], folder: Path) -> None:
    for rank in range(RANKS):
        (said,) = found["again"][rank]["said"]
        assert "holds a trace already: choose another folder, or pass overwrite=True" in said
        assert explainer.open_trace(folder / "again" / f"rank{rank}").steps.tolist() == [0, 1]


def test_a_trace_in_memory_knows_its_rank(found: dict[str, list[Any]]) -> None:
    assert [each["rank"] for each in found["in_memory"]] == [{"rank": rank, "of": RANKS} for rank in range(RANKS)]


# Folders, without processes


def record_alone(path: Path, **options: Any) -> None:
    with warnings.catch_warnings(action="ignore"), explainer.record(seeded(mlp), path, **options):
        pass


def record_ranks(path: Path, count: int) -> None:
    for number in range(count):
        record_alone(take_place(path, Rank(number, count), overwrite=False))


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def test_fewer_ranks_than_before_leave_none_of_the_old_behind(tmp_path: Path) -> None:
    record_ranks(tmp_path, 5)
    with pytest.raises(RecordingError, match="holds rank2, rank3, rank4 of an earlier run already, and this one has 2"):
        take_place(tmp_path, Rank(0, 2), overwrite=False)
    for number in range(2):
        take_place(tmp_path, Rank(number, 2), overwrite=True)
    assert names(tmp_path) == ["rank0", "rank1"]


def test_one_process_and_several_do_not_mix_in_one_folder(tmp_path: Path) -> None:
    record_ranks(tmp_path / "ranks", 2)
    with pytest.raises(RecordingError, match="holds a trace of several ranks already"):
        record_alone(tmp_path / "ranks")
    record_alone(tmp_path / "ranks", overwrite=True)
    assert names(tmp_path / "ranks") == ["trace.json"]
    for number in (1, 0):
        with pytest.raises(RecordingError, match="holds a trace already"):
            take_place(tmp_path / "ranks", Rank(number, 2), overwrite=False)
        assert take_place(tmp_path / "ranks", Rank(number, 2), overwrite=True).name == f"rank{number}"
    assert names(tmp_path / "ranks") == []


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(RecordingError, match="holds something that is not a trace"):
            take_place(tmp_path, Rank(0, 2), overwrite=overwrite)
    (tmp_path / "other" / "rank2").mkdir(parents=True)
    (tmp_path / "other" / "rank2" / "thesis.tex").touch()
    with pytest.raises(RecordingError, match="rank2, of an earlier run, cannot be removed"):
        take_place(tmp_path / "other", Rank(0, 2), overwrite=True)
    assert (tmp_path / "other" / "rank2" / "thesis.tex").exists()


# DataParallel


def test_data_parallel_without_a_gpu_is_recorded_as_the_model_inside() -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    parallel = nn.DataParallel(model)
    parallel.device_ids = []  # as torch leaves it where there is no GPU
    with explainer.record(parallel, criterion=criterion, optimizer=optimizer) as recorder:
        inputs, targets = batch_for(model, 0)
        criterion(parallel(inputs), targets).backward()
        optimizer.step()
    assert recorder.trace.layers == ("0", "1", "2") and recorder.trace.missing == {}


def test_data_parallel_on_several_gpus_is_refused() -> None:
    parallel = nn.DataParallel(seeded(mlp))
    parallel.device_ids = [0, 1]
    with pytest.raises(RecordingError, match=r"runs copies of the model in threads.* use torch\.nn"):
        explainer.record(parallel)
