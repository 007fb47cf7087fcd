"""What a report says, on paper, in JSON, as an exception and on the command line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer import cli
from explainer.errors import VerifyError
from explainer.verify import Report, Row
from explainer.verify.comparing import bitwise, within
from tests.networks import batch_for, mlp, seeded, train

EQUAL = Row("a", 0, "gradient", "equal", "Linear", 0.0, 0.0)
WRONG = Row("b", 3, "gradient", "differs", "ReLU", 0.5, 0.1, (1, 2), 2.5, 2.0)


def test_the_table_is_aligned_and_counts() -> None:
    rows = (EQUAL, WRONG, Row("c", 3, "gradient", "cannot", reason="nobody knows"))
    assert str(Report("three rows", rows)).splitlines() == [
        "three rows",
        "",
        "name   type     compared   step   difference   allowed",
        "────────────────────────────────────────────────────────────────",
        "a      Linear   gradient   0               0         0   equal",
        "b      ReLU     gradient   3         5.0e-01   1.0e-01   DIFFERS",
        "",
        "not judged:",
        "  c (gradient): nobody knows",
        "",
        "2 compared: 1 equal, 1 differs; 1 not judged.",
    ]


def test_steps_of_one_comparison_share_a_line_with_the_worst() -> None:
    rows = tuple(Row("a", step, "gradient", "close", "", step / 10, 1.0) for step in range(5))
    table = str(Report("five", rows))
    assert "0 … 4 (5)      4.0e-01   1.0e+00   close" in table
    assert table.endswith("5 compared: 5 close.")


def test_a_long_table_shows_what_is_wrong_and_what_is_nearest_to_it() -> None:
    rows = tuple(Row(f"l{n}", 0, "gradient", "close", "", n / 200, 1.0) for n in range(200))
    wrong = Row("wrong", 0, "gradient", "differs", "", 2.0, 1.0, (), 1.0, 3.0)
    lines = str(Report("long", (*rows, wrong))).splitlines()
    assert len(lines) < 40
    assert any(line.startswith("wrong") and line.endswith("DIFFERS") for line in lines)
    assert any(line.startswith("l199 ") for line in lines)
    assert "… and 181 lines that are farther from a mistake; report.rows holds all" in lines


def test_reasons_that_name_different_layers_share_a_line() -> None:
    rows = tuple(Row(n, 0, "gradient", "cannot", reason=f"it feeds '{n}x', which is not judged") for n in "abcdef")
    assert "  a (gradient), b (gradient), c (gradient), d (gradient) and 2 more: it feeds …, which" in str(
        Report("", rows)
    )


def test_the_complaint_names_layer_step_both_numbers_and_the_difference() -> None:
    with pytest.raises(VerifyError) as error:
        Report("", (EQUAL, WRONG), "the weather").check()
    assert str(error.value) == (
        "gradient of 'b' (ReLU), step 3: recorded 2.5 at [1, 2], expected 2.0; the largest difference is 0.5, "
        "allowed 0.1. Look next at: the weather"
    )
    assert isinstance(error.value, explainer.ExplainerError) and error.value.report is not None


def test_a_report_without_judgement_is_not_ok() -> None:
    report = Report("nothing", (Row("a", 0, "gradient", "missing", reason="not kept"),))
    assert not report.ok
    assert report.summary == "NOTHING COULD BE JUDGED; 1 not in the trace."
    with pytest.raises(VerifyError, match=r"nothing: nothing could be judged\. a: not kept"):
        report.check()


def test_json_holds_every_row_and_no_nan() -> None:
    rows = (EQUAL, Row("b", 0, "gradient", "differs", "", math.inf, 0.0, (0,), math.nan, 1.0))
    data = json.loads(json.dumps(Report("two", rows).to_json(), allow_nan=False))
    assert data["ok"] is False
    assert [row["state"] for row in data["rows"]] == ["equal", "differs"]
    assert data["rows"][1]["recorded"] == "nan" and data["rows"][1]["place"] == [0]


ONE = np.ones((2, 3), np.float32)
NAN = np.full((2, 3), np.nan, np.float32)


@pytest.mark.parametrize(
    ("recorded", "expected", "state"),
    [
        (ONE, ONE, "equal"), (NAN, NAN, "equal"), (NAN, ONE, "differs"), (ONE, ONE[:1], "differs"),
        (ONE * 0, ONE * -0.0, "differs"), (ONE, ONE.astype(np.float64), "differs"),
        (ONE, np.nextafter(ONE, 2, dtype=np.float32), "differs"), (ONE[:0], ONE[:0], "equal"),
        (ONE * np.float32(np.inf), ONE * np.float32(np.inf), "equal"), (np.arange(3), np.arange(3), "equal"),
    ],
)  # fmt: skip
def test_bits_are_compared(recorded: Any, expected: Any, state: str) -> None:
    assert bitwise("a", 0, "gradient", recorded, expected).state == state


def test_the_place_of_the_largest_difference_is_told() -> None:
    wrong = ONE.copy()
    wrong[1, 2] += 0.25
    row = within("a", 0, "gradient", wrong, ONE, 0.1)
    assert (row.state, row.place, row.recorded, row.expected, row.difference) == ("differs", (1, 2), 1.25, 1.0, 0.25)
    assert within("a", 0, "gradient", wrong, ONE, 0.25).state == "close"


def test_importing_the_judge_loads_no_torch() -> None:
    code = "import sys, explainer; explainer.verify.Report; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ── The command line ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("verify") / "run")


def record(folder: Path, spoil: Any = lambda model: None, **options: Any) -> Path:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: spoil(model))
    with explainer.record(model, folder, criterion=criterion, optimizer=optimizer, examples=None, **options):
        train(model, criterion, optimizer, steps=3)
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["verify", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code, *capsys.readouterr()


def test_a_true_trace_ends_with_0_and_both_tables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, folder)
    assert (code, err) == (0, "")
    assert out.startswith("chain rule: Sequential, 3 recorded steps")
    assert "\nupdates: 3 recorded steps of SGD\n" in out


def test_one_check_at_one_step_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, folder, "--what", "chain-rule", "--step", "-1", "--json")
    assert code == 0
    data = json.loads(out)
    assert list(data) == ["chain-rule"]
    assert {row["step"] for row in data["chain-rule"]["rows"]} == {2}


def test_a_wrong_trace_ends_with_1_and_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def spoil(model: nn.Module) -> None:
        model[0].weight.grad += batch_for(model, 0)[0][:6]

    code, out, err = call(capsys, record(tmp_path / "run", spoil))
    assert code == 1
    assert "DIFFERS" in out
    assert err.startswith("explainer: parameter gradient of '0.weight', step 0: recorded ")


def test_a_trace_that_leaves_nothing_to_judge_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, record(tmp_path / "run", keep=()))
    assert code == 1
    assert err.count("nothing could be judged. ") == 2
    assert out.count("NOTHING COULD BE JUDGED") == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{folder}", "--what", "colours"], "'colours' is no check; there is chain-rule and updates"),
        (["{folder}", "--step", "9"], "step 9 was not recorded; the nearest is 2"),
        (["nowhere"], "there is no folder 'nowhere' that would be a trace"),
    ],
)
def test_wrong_use_ends_with_2(
    arguments: list[str], complaint: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, *(each.format(folder=folder) for each in arguments))
    assert code == 2
    assert complaint in err
