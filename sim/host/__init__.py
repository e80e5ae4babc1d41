# SPDX-License-Identifier: Apache-2.0
"""The host side: images to input codes, output tensors to boxes, boxes to accuracy."""

from sim.host.classify import (
    LabelledImage,
    TopAccuracy,
    best_classes,
    class_logits,
    read_labels,
    softmax,
    top1,
    top_accuracy,
)
from sim.host.coco import Accuracy, evaluate, matched
from sim.host.dataset import Dataset, DatasetImage, read_dataset
from sim.host.decode import Candidates, ScoreForm, decode_boxes, sigmoid
from sim.host.detector import Detections, dequantize, detect, gather_scales
from sim.host.draw import draw_detections, enlarge, save_png, side_by_side
from sim.host.images import list_images, read_image
from sim.host.nms import Kept, NmsSettings, suppress
from sim.host.outputs import real_outputs
from sim.host.preprocess import Placement, input_codes, letterbox, normalise

__all__ = [
    "Accuracy",
    "Candidates",
    "Dataset",
    "DatasetImage",
    "Detections",
    "Kept",
    "LabelledImage",
    "NmsSettings",
    "Placement",
    "ScoreForm",
    "TopAccuracy",
    "best_classes",
    "class_logits",
    "decode_boxes",
    "dequantize",
    "detect",
    "draw_detections",
    "enlarge",
    "evaluate",
    "gather_scales",
    "input_codes",
    "letterbox",
    "list_images",
    "matched",
    "normalise",
    "read_dataset",
    "read_image",
    "read_labels",
    "real_outputs",
    "save_png",
    "side_by_side",
    "sigmoid",
    "softmax",
    "suppress",
    "top1",
    "top_accuracy",
]
