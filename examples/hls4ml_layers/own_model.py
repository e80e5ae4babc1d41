# SPDX-License-Identifier: Apache-2.0
"""An int4 convolution of Nibbleflow in front of hls4ml's own max pool, in one hls4ml model.

Run: ``python examples/hls4ml_layers/own_model.py FOLDER``. It writes the project to FOLDER,
compiles it with hls4ml and g++, and compares its answer with numpy.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from hls4ml.backends import get_backend
from hls4ml.model import ModelGraph

from hls import conv_layer, layer_attributes, layer_header
from hls.register import register
from quant.samples import sample_codes, sample_conv
from quant.schedule import Folding
from sim.golden import run_conv

CHANNELS, FILTERS, SIZE = 4, 8, 10


def main(folder: Path) -> int:
    """Build, compile and run the model; return the number of wrong values."""
    # 1. An integer convolution with its scales folded in; of a real network: a node of its bundle.
    node, source = sample_conv(1, CHANNELS, FILTERS, act_bits=8, table=True)

    # 2. Our layers become known to hls4ml's Vitis and Vivado backends.
    register()

    # 3. The layer. PE = filters and SIMD = channels: a word is a whole pixel, as hls4ml has it.
    shape = (CHANNELS, SIZE, SIZE)
    layer = conv_layer(
        node, source, shape, Folding(FILTERS, CHANNELS), name="int4_conv", reads="image"
    )

    # 4. Its weights are packed in a header, which hls4ml copies into the project.
    with tempfile.TemporaryDirectory() as scratch:
        header = Path(scratch) / Path(str(layer.data_header)).name
        header.write_text(layer_header(layer), encoding="utf-8")
        get_backend("Vitis").register_source(header.resolve(), "weights")

        # 5. The model: hls4ml's input and pool around our layer.
        half = SIZE // 2
        layers = [
            {"class_name": "InputLayer", "name": "image", "input_shape": [SIZE, SIZE, CHANNELS]},
            layer_attributes(layer),
            {
                "class_name": "MaxPooling2D",
                "name": "pool",
                "inputs": ["int4_conv"],
                "data_format": "channels_last",
                **dict.fromkeys(("in_height", "in_width"), SIZE),
                **dict.fromkeys(("out_height", "out_width"), half),
                **dict.fromkeys(("pool_height", "pool_width"), 2),
                **dict.fromkeys(("stride_height", "stride_width"), 2),
                **dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), 0),
                "n_filt": FILTERS,
                "padding": "valid",
            },
        ]
        config = {
            "Backend": "Vitis",
            "OutputDir": str(folder),
            "ProjectName": "own_model",
            "Part": "xczu7ev-ffvc1156-2-e",
            "ClockPeriod": 5,
            "IOType": "io_stream",
            "HLSConfig": {
                "Model": {"Precision": "ap_uint<8>", "ReuseFactor": 1, "Strategy": "Latency"},
            },
        }
        model = ModelGraph.from_layer_list(config, layers)
        model.compile()

    # 6. Codes in, codes out; hls4ml's arrays are (rows, columns, channels).
    codes = sample_codes(2, (1, *shape), 8)
    answer = model.predict(np.ascontiguousarray(codes[0].transpose(1, 2, 0), np.float32))
    convolved, _ = run_conv(node, source, codes)
    blocks = convolved[0].reshape(FILTERS, half, 2, half, 2)
    expected = blocks.max(axis=(2, 4)).transpose(1, 2, 0)
    wrong = int(np.sum(np.asarray(answer).reshape(expected.shape) != expected))
    print(f"{wrong} of {expected.size} values differ")
    return wrong


if __name__ == "__main__":
    sys.exit(min(1, main(Path(sys.argv[1]))))
