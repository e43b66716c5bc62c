"""onnx2tf: ONNX to TFLite, with its own full-integer quantization by TensorFlow's converter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx2tf

from benchmarks.peers.child import run
from benchmarks.peers.task import Task


def convert(task: Task, out: Path) -> Path:
    x = task.x("calib")
    rows = np.moveaxis(x, 1, -1) if x.ndim == 4 else x  # onnx2tf turns images to channels last
    np.save(out / "calib.npy", rows)
    # What it would fetch from the network for models of images, to try shapes with.
    pictures = np.random.default_rng(0).random((20, 128, 128, 3), np.float32)
    np.save("calibration_image_sample_data_20x128x128x3_float32.npy", pictures)
    channels = rows.shape[-1]
    onnx2tf.convert(
        input_onnx_file_path=str(task.path("onnx")),
        output_folder_path=str(out / "tf"),
        output_integer_quantized_tflite=True,
        quant_type="per-channel",
        custom_input_op_name_np_data_path=[
            [task.input, str(out / "calib.npy"), [[[[0.0] * channels]]], [[[[1.0] * channels]]]],
        ],
        non_verbose=True,
    )
    return out / "tf" / "model_integer_quant.tflite"


if __name__ == "__main__":
    run(convert, "onnx2tf", "tensorflow")
