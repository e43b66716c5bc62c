"""Gates, metrics of the user's, functions that give data, ledgers and measurements that are wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgewright.core.store import StepStore
from edgewright.optimizer.measure import Measurements

Run = Callable[..., Any]
Arrays = Mapping[str, np.ndarray]

METRICS = """
import numpy as np

def good(outputs, labels, inputs, columns):
    return float((outputs.argmax(axis=1) == labels).mean())

def raises(outputs, labels, inputs, columns):
    raise RuntimeError("It broke. Twice.\\nOn two lines.")

def leaves(outputs, labels, inputs, columns):
    raise SystemExit(0)

def nan(outputs, labels, inputs, columns):
    return float("nan")

def text(outputs, labels, inputs, columns):
    return "high"

def many(outputs, labels, inputs, columns):
    return np.ones(3)

def nothing(outputs, labels, inputs, columns):
    pass

def no_arguments():
    return 1.0

number = 3
"""

SAMPLES = """
import numpy as np

def raises():
    raise RuntimeError("It broke. Twice.\\nOn two lines.")

def leaves():
    raise SystemExit(0)

def late():
    yield np.zeros((1, 8, 8), np.float32)
    raise ValueError("later")

def nothing():
    return None

def number():
    return 5

def empty():
    return []

def objects():
    return {"x": object()}

def ragged():
    return [np.zeros((1, 8, 8)), np.zeros((2, 8, 8))]

def uneven():
    return {"x": np.zeros((4, 1, 8, 8), np.float32), "y": np.zeros(3)}

def wants(something):
    return something
"""


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("", ["the gate '' cannot be read", "write for example"]),
        ("better please", ["the gate 'better please' cannot be read"]),
        ("tpo1 >= -1pt", ["unknown metric 'tpo1'", "did you mean 'top1'?"]),
        ("top1[hafl] >= -1pt", ["unknown column 'hafl'", "did you mean 'half'?"]),
        ("top1 by hafl >= -1pt", ["unknown column 'hafl'", "did you mean 'half'?"]),
        ("top1 <= 1pt", ["top1 is better when higher"]),
        ("none.py:f >= -1pt", ["there is no file none.py", "give its path"]),
        ("no_such_module:f >= -1pt", ["'no_such_module:f' cannot be imported", "No module named"]),
    ],
)
def test_gates_that_cannot_be_judged_are_refused_first(compile: Run, gate: str, words: list[str]) -> None:
    answer = compile(gate=gate)
    answer.refused("E-GATE", *words)
    assert len(answer.err.splitlines()) == 1


@pytest.fixture
def metrics(tmp_path: Path) -> None:
    """A file of metrics, some of which are good for nothing."""
    (tmp_path / "metrics_of_tests.py").write_text(METRICS, "utf-8")
    (tmp_path / "broken_metrics.py").write_text("def f(:\n", "utf-8")


@pytest.mark.usefixtures("metrics")
@pytest.mark.parametrize("place", ["metrics_of_tests.py", "metrics_of_tests"])
def test_a_metric_of_the_user_judges(compile: Run, place: str) -> None:
    answer = compile("--json", gate=f"{place}:good >= -5pt")
    assert answer.code == 0, answer.err


@pytest.mark.usefixtures("metrics")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", "the metric crashed with RuntimeError (It broke, Twice, On two lines)"),
        ("leaves", "the metric crashed with SystemExit"),
        ("nan", "the metric returned nan"),
        ("text", "the metric returned str"),
        ("many", "the metric returned ndarray"),
        ("nothing", "the metric returned NoneType"),
        ("no_arguments", "the metric crashed with TypeError"),
    ],
)
def test_a_metric_that_fails_passes_nothing(compile: Run, name: str, words: str) -> None:
    answer = compile("--json", gate=f"metrics_of_tests.py:{name} >= -3pt")
    assert answer.code in (2, 3)
    assert not any(file.endswith(".ewa") for file in answer.written)
    why = json.loads(answer.out)["targets"][0]["why"]
    assert words in why.replace("\n", " ").replace("Twice. ", "Twice, ")
    assert "\n" not in why


@pytest.mark.usefixtures("metrics")
@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("metrics_of_tests.py:number >= 0.1", ["is not a function"]),
        ("metrics_of_tests.py:godo >= 0.1", ["unknown function of metrics_of_tests.py 'godo'", "did you mean 'good'?"]),
        ("broken_metrics.py:f >= 0.1", ["'broken_metrics.py:f' cannot be imported", "SyntaxError"]),
    ],
)
def test_a_metric_that_is_none_is_refused(compile: Run, gate: str, words: list[str]) -> None:
    compile(gate=gate).refused("E-GATE", *words)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("raises", "E-DATA", ["samples_of_tests:raises failed with RuntimeError", "call it on its own to see why"]),
        ("leaves", "E-DATA", ["samples_of_tests:leaves failed with SystemExit"]),
        ("late", "E-DATA", ["samples_of_tests:late failed with ValueError (later)"]),
        ("nothing", "E-DATA", ["is of type NoneType"]),
        ("number", "E-DATA", ["is of type int"]),
        ("empty", "E-DATA", ["gives no samples"]),
        ("objects", "E-DATA", ["holds Python objects"]),
        ("ragged", "E-DATA", ["'x' of sample 1", "[2, 8, 8]"]),
        ("uneven", "E-DATA", ["4 samples and 3 labels"]),
        ("wants", "E-DATA", ["TypeError", "missing 1 required positional argument"]),
        ("emtpy", "E-USAGE", ["unknown function in samples_of_tests 'emtpy'", "did you mean 'empty'?"]),
    ],
)
@pytest.mark.parametrize("ending", ["", ".py"])
def test_a_function_that_gives_no_data_is_refused(
    compile: Run, tmp_path: Path, name: str, kind: str, words: list[str], ending: str
) -> None:
    (tmp_path / "samples_of_tests.py").write_text(SAMPLES, "utf-8")
    compile(data=f"samples_of_tests{ending}:{name}").refused(
        kind, *[word.replace("samples_of_tests", f"samples_of_tests{ending}") for word in words]
    )


@pytest.mark.parametrize("content", [b"rubbish\nmore\n", b"\xff\n", b"{}\n", b"[]\n", b'{"look": 1}\n'])
def test_a_damaged_ledger_is_refused(compile: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "digits.npz.ledger.jsonl").write_bytes(content)
    compile().refused("E-GATE", "digits.npz.ledger.jsonl is damaged at line 1", "restore it")
    assert (tmp_path / "digits.npz.ledger.jsonl").read_bytes() == content


def test_a_ledger_that_cannot_be_written_is_refused(compile: Run, tmp_path: Path) -> None:
    (tmp_path / "digits.npz.ledger.jsonl").mkdir()
    compile().refused("E-STORE", "digits.npz.ledger.jsonl", "Is a directory")


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"rubbish", b"\xff\xfe", b"[]", b"{}", b"[" * 100000, b'{"measurements_version": 1}'),
        *(b'{"measurements_version": 2, "figures": {}}', b'{"measurements_version": 1, "figures": []}'),
    ],
)
def test_measurements_that_are_none_are_refused(compile: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.json").write_bytes(content)
    compile("--measurements", "m.json").refused("E-DATA", "m.json holds no measurements", "measurements.json of an earlier")


def test_measurements_that_are_not_there_are_refused(compile: Run) -> None:
    compile("--measurements", "none.json").refused("E-DATA", "none.json", "No such file", "check the path")


def test_figures_that_are_none_are_refused(compile: Run, tmp_path: Path) -> None:
    """A file of the right form whose figures are rubbish: what is looked up in it must not be believed."""
    flags = ("--objective", "ram", "--measurements", "m.json")
    assert compile("--objective", "ram").code == 0
    made = json.loads((tmp_path / "out" / "measurements.json").read_bytes())
    assert made["figures"]
    for rubbish in ("much", None, {"a": 1}, -1):
        shutil.rmtree(tmp_path / "out")
        made["figures"] = dict.fromkeys(made["figures"], rubbish)
        (tmp_path / "m.json").write_text(json.dumps(made), "utf-8")
        compile(*flags).refused("E-DATA", "m.json: the figure 'ram:", "measurements.json of an earlier compile")


@pytest.mark.parametrize(
    "name",
    ["latency:1:1", "layer:1:1", "ratio:1:2:1", "ram:1:1", "operators:1:1", "surprise:1:1"],
)
@pytest.mark.parametrize("figure", ['"fast"', "NaN", "-1", "[1]", "{}", '{"ratio": 1, "low": 1, "high": 1e999}', "null"])
def test_figures_of_every_kind_are_checked(compile: Run, tmp_path: Path, name: str, figure: str) -> None:
    empty = json.loads(Measurements(StepStore(tmp_path / "empty"), None).to_bytes())
    head = f'"measurements_version": 1, "cpu": {json.dumps(empty["cpu"])}'
    (tmp_path / "m.json").write_text(f'{{{head}, "figures": {{"{name}": {figure}}}}}', "utf-8")
    compile("--measurements", "m.json").refused("E-DATA", f"m.json: the figure '{name}' cannot be used")


NOISY = """
print("on import")
import numpy as np

def samples():
    print("while data are made")
    return dict(np.load("digits.npz"))

def right(outputs, labels, inputs, columns):
    print("while it is judged")
    return float((outputs.argmax(axis=1) == labels).mean())
"""


@pytest.mark.parametrize("command", ["compile", "gate", "opt"])
def test_what_a_users_code_prints_is_not_the_answer(
    compile: Run, edge: Run, digits: tuple[Path, Path], tmp_path: Path, command: str
) -> None:
    (tmp_path / "noisy.py").write_text(NOISY, "utf-8")
    if command == "compile":
        answer = compile("--json", data="noisy.py:samples", gate="noisy.py:right >= -9pt")
    elif command == "gate":
        flags = ("--data", "noisy.py:samples", "--gate", "noisy.py:right >= -9pt", "--json")
        shutil.copy(digits[1], tmp_path / "digits.npz")
        answer = edge("gate", digits[0], digits[0], *flags)
    else:
        shutil.copy(digits[1], tmp_path / "digits.npz")
        flags = ("--pipeline", "quantize", "--profile", "arm64-linux", "--data", "noisy.py:samples", "--json")
        answer = edge("opt", digits[0], *flags)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)
    assert "while data are made" in answer.err
