"""OpenVINO's XML without what its reader finds out for itself: that is most of the file of a small model."""

from __future__ import annotations

from xml.etree import ElementTree

# Attributes that say what the operator does anyway.
_DEFAULTS = {"auto_broadcast": "numpy"}


def compact(text: bytes) -> bytes:
    """The same network: shapes within it left out (the reader infers them), equal constants read from one layer.

    Layers keep their ids and names. `text` is what OpenVINO has written itself.
    """
    net = ElementTree.fromstring(text)  # noqa: S314 - OpenVINO wrote it a moment ago
    for graph in net.iter():
        layers, edges = graph.find("layers"), graph.find("edges")
        if layers is not None and edges is not None:
            _share_constants(layers, edges)
            for layer in layers:
                _shorten(layer)
    for note in net.findall("rt_info"):
        net.remove(note)
    for element in net.iter():
        element.text = element.tail = None
    return bytes(ElementTree.tostring(net, encoding="utf-8")).replace(b" />", b"/>")


def _share_constants(layers: ElementTree.Element, edges: ElementTree.Element) -> None:
    """Let the readers of equal constants read the first of them."""
    first: dict[tuple[tuple[str, str], ...], str] = {}
    place: dict[str, str] = {}
    for layer in layers.findall("layer"):
        data = layer.find("data")
        if layer.get("type") != "Const" or data is None or layer.find("output/port[@names]") is not None:
            continue
        number = str(layer.get("id"))
        place[number] = first.setdefault(tuple(sorted(data.items())), number)
        if place[number] != number:
            layers.remove(layer)
    for edge in edges:
        source = str(edge.get("from-layer"))
        edge.set("from-layer", place.get(source, source))


def _shorten(layer: ElementTree.Element) -> None:
    for port in (*layer.findall("input/port"), *layer.findall("output/port")):
        for size in port.findall("dim"):
            port.remove(size)
    for port in layer.findall("input/port"):
        port.attrib.pop("precision", None)
    for data in layer.findall("data"):
        for name, value in _DEFAULTS.items():
            if data.get(name) == value:
                del data.attrib[name]
        if not data.attrib and not len(data):
            layer.remove(data)
