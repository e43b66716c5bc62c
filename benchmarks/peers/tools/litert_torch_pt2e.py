"""litert-torch: a torch module quantized by its PT2E quantizer (int8, a channel), converted to TFLite."""

from __future__ import annotations

from pathlib import Path

import litert_torch
import torch
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from benchmarks.peers.child import run
from benchmarks.peers.task import Task


def convert(task: Task, out: Path) -> Path:
    x = torch.from_numpy(task.x("calib"))
    net = torch.load(task.path("torch"), weights_only=False)
    quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False))
    prepared = prepare_pt2e(torch.export.export(net, (x[:1],)).module(), quantizer)
    for row in x:
        prepared(row[None])
    quantized = convert_pt2e(prepared, fold_quantize=False)
    made = litert_torch.convert(quantized, (x[:1],), quant_config=QuantConfig(pt2e_quantizer=quantizer))
    made.export(str(out / "model.tflite"))
    return out / "model.tflite"


if __name__ == "__main__":
    run(convert, "litert-torch", "torch")
