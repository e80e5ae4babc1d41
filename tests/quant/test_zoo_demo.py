# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
import torch

from quant.errors import QuantizationError, UnsupportedLayerError
from quant.zoo.demo import DEMO_WEIGHTS, demo_description
from quant.zoo.demo_loss import complete_iou, detection_loss
from quant.zoo.demo_score import shapes_ap50
from quant.zoo.described import DescribedModel, Description
from quant.zoo.resolve import load_model
from quant.zoo.shapes import CLASS_NAMES, HELD_OUT_SEED, shapes_sample
from quant.zoo.train_demo import TrainSettings, save_demo, train

MAX_FILE_BYTES = 1_500_000
MAX_PARAMETERS = 300_000


def test_demo_is_small():
    loaded = load_model("demo")
    assert DEMO_WEIGHTS.stat().st_size <= MAX_FILE_BYTES
    assert sum(p.numel() for p in loaded.module.parameters()) <= MAX_PARAMETERS
    assert loaded.name == "demo"
    assert json.loads(DEMO_WEIGHTS.with_suffix(".json").read_text()) == demo_description()
    assert (loaded.host.height, loaded.host.width) == (160, 160)
    assert loaded.host.strides == (8, 16)
    assert loaded.host.class_names == CLASS_NAMES


def test_demo_finds_shapes():
    assert shapes_ap50(load_model("demo").module, HELD_OUT_SEED, 60, (160, 160)) >= 0.9


def test_demo_takes_other_sizes_but_no_architecture():
    loaded = load_model("demo", image_size=(96, 128))
    assert loaded.module(torch.rand(1, 3, 96, 128)).shape == (1, 3 * (12 * 16 + 6 * 8), 11)
    with pytest.raises(QuantizationError, match="largest stride 16"):
        load_model("demo", image_size=(90, 96))
    with pytest.raises(UnsupportedLayerError, match="takes no --arch"):
        load_model("demo", arch="yolov5n")


def test_complete_iou_of_known_boxes():
    a = torch.tensor([[4.0, 4.0, 4.0, 4.0], [2.0, 2.0, 2.0, 2.0]])
    b = torch.tensor([[4.0, 4.0, 4.0, 4.0], [4.0, 2.0, 2.0, 2.0]])
    result = complete_iou(a, b)
    # second pair touches: IoU 0, distance 2^2 over diagonal 4^2 + 2^2
    assert result.tolist() == pytest.approx([1.0, -4 / 20], abs=1e-5)


def test_loss_prefers_right_predictions():
    model = DescribedModel(Description.from_json(demo_description(), "demo"))
    detect = model.detect
    targets = torch.tensor([[0.0, 2.0, 76.0, 84.0, 30.0, 30.0]])
    cold = [torch.full((1, 33, 20, 20), -4.0), torch.full((1, 33, 10, 10), -4.0)]
    warm = [m.clone() for m in cold]
    # cell (9, 10) at stride 8 and the third anchor, 30x30: offset 0.5 and size factor 1
    warm[0].view(1, 3, 11, 20, 20)[0, 2, :, 10, 9] = torch.tensor(
        [0.0, 0.0, 0.0, 0.0, 4.0, -4.0, -4.0, 4.0, -4.0, -4.0, -4.0]
    )
    assert detection_loss(detect, warm, targets) < detection_loss(detect, cold, targets)
    empty = detection_loss(detect, cold, torch.zeros(0, 6))
    assert empty < detection_loss(detect, cold, targets)


def test_training_takes_steps_and_repeats(tmp_path):
    settings = TrainSettings(iterations=2, batch=2, pool=2, noise_from=0.5)
    output = tmp_path / "small.safetensors"
    torch.set_num_threads(1)
    first = train(settings, output)
    second = train(settings, None)
    states = first.state_dict(), second.state_dict()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    start = load_model("demo").module.state_dict()
    assert output.stat().st_size <= MAX_FILE_BYTES
    assert json.loads((tmp_path / "small.json").read_text()) == demo_description()
    loaded = load_model(str(output)).module.state_dict()
    assert loaded.keys() == start.keys()
    assert torch.equal(loaded["model.0.conv.weight"], states[0]["model.0.conv.weight"])


def test_score_of_a_perfect_and_an_empty_detector(tmp_path):
    class Fixed(torch.nn.Module):
        """Answers with the truth of the images in order."""

        def __init__(self, blind):
            super().__init__()
            self.blind, self.index = blind, 0

        def forward(self, x):
            _, boxes, classes = shapes_sample(HELD_OUT_SEED, self.index)
            self.index += 1
            rows = np.zeros((len(boxes), 11), np.float32)
            rows[:, :2] = (boxes[:, :2] + boxes[:, 2:]) / 2
            rows[:, 2:4] = boxes[:, 2:] - boxes[:, :2]
            rows[:, 4] = 0.0 if self.blind else 1.0
            rows[np.arange(len(boxes)), 5 + classes] = 1.0
            return torch.from_numpy(rows)[None]

    assert shapes_ap50(Fixed(False), HELD_OUT_SEED, 12, (160, 160)) == 1.0
    assert shapes_ap50(Fixed(True), HELD_OUT_SEED, 12, (160, 160)) == 0.0


def test_saved_file_appears_whole(tmp_path):
    model = DescribedModel(Description.from_json(demo_description(), "demo"))
    save_demo(model, tmp_path / "x.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.json", "x.safetensors"]
