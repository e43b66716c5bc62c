"""A Keras 3 model becomes one of Keras 2 (tf-keras), layer by layer, which TFMOT needs. Imported in the child process only."""

from __future__ import annotations

import inspect
from typing import Any

from ...core.errors import ModelError

_DROPPED = ("dtype", "registered_name", "module", "batch_shape", "build_config")
# Weights are copied, so that initializers matter to nobody; the rest of these is about training, which starts anew.
_ENDINGS = ("_initializer", "_regularizer", "_constraint")


def to_legacy(model: Any) -> Any:
    """The same model in tf-keras, with its weights; raises ModelError naming a layer that tf-keras does not have."""
    import tf_keras

    made: dict[int, Any] = {}
    for tensor in model.inputs:
        made[id(tensor)] = tf_keras.Input(tuple(tensor.shape[1:]), name=tensor.name.split(":")[0], dtype=str(tensor.dtype))
    layers: dict[str, Any] = {}
    for node in _nodes(model):
        source = node.operation
        if type(source).__name__ == "InputLayer":
            continue
        if source.name not in layers:
            layers[source.name] = _layer(tf_keras, source)
        given = [made[id(tensor)] for tensor in node.input_tensors]
        result = layers[source.name](given[0] if len(given) == 1 else given)
        for tensor, answer in zip(node.outputs, result if isinstance(result, (list, tuple)) else [result], strict=True):
            made[id(tensor)] = answer
    inputs, outputs = ([made[id(tensor)] for tensor in tensors] for tensors in (model.inputs, model.outputs))
    legacy = tf_keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs[0] if len(outputs) == 1 else outputs)
    for name, layer in layers.items():
        layer.set_weights(model.get_layer(name).get_weights())
    return legacy


def _nodes(model: Any) -> list[Any]:
    """Calls of layers in an order in which each comes after what it reads; nested models are refused."""
    inner = getattr(model, "_functional", None) or model  # a Sequential holds a functional model
    if not hasattr(inner, "_nodes_by_depth"):
        raise ModelError("TFMOT needs a Sequential or functional Keras model; this one is a class of its own.")
    depths = inner._nodes_by_depth
    found = [node for depth in sorted(depths, reverse=True) for node in depths[depth]]
    for node in found:
        if hasattr(node.operation, "layers"):
            raise ModelError(f"TFMOT takes no model inside a model ({node.operation.name}); build it flat.")
    return found


def _layer(tf_keras: Any, source: Any) -> Any:
    """The layer of tf-keras with the same options."""
    name = type(source).__name__
    kind = getattr(tf_keras.layers, name, None)
    if kind is None:
        raise ModelError(f"tf-keras has no layer {name} ({source.name}), so TFMOT cannot take this model.")
    known = {"name", "trainable"}
    for base in kind.__mro__:
        if "__init__" in vars(base):
            known |= set(inspect.signature(base).parameters)
    config = {
        key: value
        for key, value in source.get_config().items()
        if key in known and key not in _DROPPED and not key.endswith(_ENDINGS)
    }
    try:
        return kind.from_config(config)
    except (TypeError, ValueError) as error:
        raise ModelError(f"tf-keras cannot make the layer {source.name} ({name}): {str(error).splitlines()[0]}.") from error
