# SPDX-License-Identifier: Apache-2.0
"""Training loss of the anchor-based head: CIoU for boxes, cross entropy for objectness and classes.

Source: the assignment rule of ultralytics/yolov5 (an anchor matches a box when no side differs by
more than a factor; the two nearest neighbour cells match too); CIoU: Zheng et al., AAAI 2020.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from quant.zoo.head import Detect

ANCHOR_RATIO = 4.0
BOX_WEIGHT = 0.075
OBJECT_WEIGHT = 0.2
CLASS_WEIGHT = 0.1
SCALE_BALANCE = (4.0, 1.0, 0.4)


def detection_loss(detect: Detect, raw: list[Tensor], targets: Tensor) -> Tensor:
    """Return the loss of one batch.

    Args:
        detect: The head, for its anchors and strides.
        raw: Raw maps of the head in training mode.
        targets: float32 [T, 6]: image number in the batch, class, centre x, centre y, width,
            height in pixels.

    Returns:
        Scalar, mean over the batch.
    """
    zero = raw[0].new_zeros(())
    box_loss, object_loss, class_loss = zero, zero, zero
    for scale, map_ in enumerate(raw):
        n, _, ny, nx = map_.shape
        y = map_.reshape(n, detect.na, detect.no, ny, nx).permute(0, 1, 3, 4, 2)
        scaled = targets.clone()
        scaled[:, 2:] /= detect.strides[scale]
        rows, anchor, cell_y, cell_x = _match(scaled, detect.anchors[scale], (ny, nx))
        wanted = torch.zeros((n, detect.na, ny, nx))
        if len(rows):
            image = rows[:, 0].long()
            chosen = y[image, anchor, cell_y, cell_x]
            xy = chosen[:, :2].sigmoid() * 2 - 0.5
            wh = (chosen[:, 2:4].sigmoid() * 2) ** 2 * detect.anchors[scale][anchor]
            cell = torch.stack((cell_x, cell_y), 1)
            truth = torch.cat((rows[:, 2:4] - cell, rows[:, 4:6]), 1)
            overlap = complete_iou(torch.cat((xy, wh), 1), truth)
            box_loss = box_loss + (1 - overlap).mean()
            wanted[image, anchor, cell_y, cell_x] = overlap.detach().clamp(min=0)
            labels = F.one_hot(rows[:, 1].long(), detect.nc).float()
            class_loss = class_loss + F.binary_cross_entropy_with_logits(chosen[:, 5:], labels)
        objectness = F.binary_cross_entropy_with_logits(y[..., 4], wanted)
        object_loss = object_loss + SCALE_BALANCE[scale] * objectness
    return BOX_WEIGHT * box_loss + OBJECT_WEIGHT * object_loss + CLASS_WEIGHT * class_loss


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the complete IoU of paired boxes.

    Args:
        a: float32 [T, 4]: centre x, centre y, width, height, in any one unit.
        b: As ``a``.

    Returns:
        float32 [T], at most 1.
    """
    a_low, a_high = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2
    b_low, b_high = b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
    inner = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0).prod(1)
    union = a[:, 2:].prod(1) + b[:, 2:].prod(1) - inner + 1e-7
    iou = inner / union
    hull = torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)
    distance = (a[:, :2] - b[:, :2]).square().sum(1) / (hull.square().sum(1) + 1e-7)
    angle = torch.atan(b[:, 2] / b[:, 3]) - torch.atan(a[:, 2] / (a[:, 3] + 1e-7))
    aspect = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        share = aspect / (1 - iou + aspect + 1e-7)
    return iou - distance - share * aspect


def _match(
    targets: Tensor, anchors: Tensor, grid: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return matched target rows (repeated), anchor, cell y and cell x, all in cell units."""
    ny, nx = grid
    ratio = targets[:, None, 4:6] / anchors[None]
    fits = torch.maximum(ratio, 1 / ratio).amax(2) < ANCHOR_RATIO
    row, anchor = fits.nonzero(as_tuple=True)
    rows = targets[row]
    centre = rows[:, 2:4]
    part = centre - centre.floor()
    low, high = part < 0.5, part >= 0.5
    parts = [torch.ones(len(rows), dtype=torch.bool), low[:, 0], low[:, 1], high[:, 0], high[:, 1]]
    steps = ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1))
    out_rows, out_anchor, out_cell = [], [], []
    for step, keep in zip(steps, parts, strict=True):
        cell = centre.floor().long() + torch.tensor(step)
        inside = (cell >= 0).all(1) & (cell[:, 0] < nx) & (cell[:, 1] < ny) & keep
        out_rows.append(rows[inside])
        out_anchor.append(anchor[inside])
        out_cell.append(cell[inside])
    cells = torch.cat(out_cell)
    return torch.cat(out_rows), torch.cat(out_anchor), cells[:, 1], cells[:, 0]
