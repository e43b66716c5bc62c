"""The order of work of one forward pass, settled once: which function reads and writes which places of a list."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir

from ...core.errors import UsageError, unknown

Hook = Callable[[Any], Any]


@dataclass(frozen=True)
class Call:
    """A function of values that makes values: one node, or several that one kernel computes."""

    function: Callable[..., Any]
    reads: tuple[onnx_ir.Value | None, ...]
    writes: tuple[onnx_ir.Value, ...]


@dataclass(frozen=True)
class Step:
    """A call on places. `write` is one place, or a tuple where the function gives several tensors."""

    function: Callable[..., Any]
    reads: tuple[int, ...]
    write: int | tuple[int, ...]
    frees: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Steps over a list of `size` places; place 0 stays None, for inputs that are left out."""

    size: int
    inputs: tuple[tuple[int, str], ...]
    weights: tuple[tuple[int, str], ...]
    steps: tuple[Step, ...]
    results: tuple[tuple[str, int], ...]

    def run(self, values: list[Any]) -> dict[str, Any]:
        """Results by name; `values` holds the inputs and weights at their places, and nothing else that is kept alive."""
        for step in self.steps:
            made = step.function(*[values[place] for place in step.reads])
            if type(step.write) is int:
                values[step.write] = made
            else:
                for place, item in zip(step.write, made, strict=False):  # type: ignore[arg-type]
                    values[place] = item
            for place in step.frees:
                values[place] = None
        return {name: values[place] for name, place in self.results}


def make_plan(graph: onnx_ir.Graph, calls: Sequence[Call], hooks: Mapping[str, Sequence[Hook]], keep: Collection[str]) -> Plan:
    """Plan of `calls` (in an order that respects what they read) for the outputs of `graph` and the values in `keep`.

    What no result needs is left out. Raises UsageError for a value that `keep` names and nothing makes.
    """
    made = {str(value.name): value for call in calls for value in call.writes}
    made |= {str(value.name): value for value in graph.inputs} | dict(graph.initializers)
    for name in keep:
        if name not in made:
            raise UsageError(unknown("value to keep", name, made))
    results = list(dict.fromkeys([str(value.name) for value in graph.outputs] + sorted(keep)))
    return _Maker(graph, hooks, _needed(calls, [made[name] for name in results])).make([made[name] for name in results])


def _needed(calls: Sequence[Call], results: Sequence[onnx_ir.Value]) -> list[Call]:
    wanted: set[onnx_ir.Value | None] = set(results)
    chosen = []
    for call in reversed(calls):
        if any(value in wanted for value in call.writes):
            wanted.update(call.reads)
            chosen.append(call)
    return chosen[::-1]


class _Maker:
    def __init__(self, graph: onnx_ir.Graph, hooks: Mapping[str, Sequence[Hook]], calls: Sequence[Call]) -> None:
        self._graph, self._hooks, self._calls = graph, hooks, calls
        self._places: dict[onnx_ir.Value, int] = {}
        # What readers see of a value that has hooks.
        self._seen: dict[onnx_ir.Value, int] = {}
        self._size = 1
        self._steps: list[tuple[Callable[..., Any], tuple[int, ...], int | tuple[int, ...]]] = []

    def make(self, results: Sequence[onnx_ir.Value]) -> Plan:
        weights: list[tuple[int, str]] = []
        names = set(self._graph.initializers)
        inputs = [(self._place(value), str(value.name)) for value in self._graph.inputs if value.name not in names]
        for call in self._calls:
            for value in call.reads:
                if value is not None and value not in self._places:
                    weights.append((self._place(value), str(value.name)))
            reads = tuple(0 if value is None else self._read(value) for value in call.reads)
            places = tuple(self._place(value) for value in call.writes)
            self._steps.append((call.function, reads, places[0] if len(places) == 1 else places))
        for value in results:
            if value not in self._places:
                weights.append((self._place(value), str(value.name)))
        found = tuple((str(value.name), self._read(value)) for value in results)
        lasting = {place for place, _ in weights} | {place for _, place in found}
        return Plan(self._size, tuple(inputs), tuple(weights), self._freed(lasting), found)

    def _place(self, value: onnx_ir.Value) -> int:
        self._places[value] = self._size
        self._size += 1
        return self._places[value]

    def _read(self, value: onnx_ir.Value) -> int:
        """Where a reader finds `value`: after its hooks, which run just before the first reader."""
        hooks = self._hooks.get(str(value.name), ())
        if not hooks:
            return self._places[value]
        if value not in self._seen:
            place = self._places[value]
            for hook in hooks:
                self._steps.append((hook, (place,), self._size))
                place = self._size
                self._size += 1
            self._seen[value] = place
        return self._seen[value]

    def _freed(self, lasting: Collection[int]) -> tuple[Step, ...]:
        """The steps, each with the places that nothing reads after it."""
        steps = []
        later = {0, *lasting}
        for function, reads, write in reversed(self._steps):
            written = (write,) if isinstance(write, int) else write
            frees = tuple(place for place in dict.fromkeys((*reads, *written)) if place not in later)
            later.update(frees)
            steps.append(Step(function, reads, write, frees))
        return tuple(reversed(steps))
