# SPDX-License-Identifier: Apache-2.0
"""A small bundle on disk for every test that reads one."""

from pathlib import Path

import pytest

from quant.bundle import Bundle, save_bundle
from quant.hostspec import HostSpec
from quant.record import LayerRecord, QuantRecord
from quant.samples import sample_graph


@pytest.fixture(scope="session")
def sample_bundle() -> Bundle:
    """A graph of every node kind with a host spec and a record that use every field."""
    host = HostSpec(
        height=16,
        width=20,
        place="center",
        pad_value=114,
        channel_order="rgb",
        mean=(0.0, 1.5, 0.1),
        std=(255.0, 255.0, 58.395),
        decode="yolov5",
        strides=(8,),
        anchors=(((10.0, 13.0), (16.0, 30.0)),),
        outputs=(("boxes", "scores"),),
        class_names=("person", "Fußgänger"),
    )
    record = QuantRecord(
        kind="integer",
        model="sample",
        source_parameters=1200,
        fused_parameters=1100,
        settings={"weight_bits": 4, "layers": {"head": {"weight_bits": 8}}, "scales": [0.1, 1e-7]},
        notes=("'retarget' inserted before 'bend'",),
        layers=(
            LayerRecord("stem", "conv", 4, 8, "affine", "filter", 18.25, 21.5, 1),
            LayerRecord("pool", "maxpool", 0, 8, "", "", None, None, 0),
        ),
    )
    return Bundle(sample_graph(3), host, record)


@pytest.fixture
def saved_bundle(sample_bundle: Bundle, tmp_path: Path) -> Path:
    """The folder of that bundle."""
    folder = tmp_path / "bundle"
    save_bundle(sample_bundle.graph, sample_bundle.host, sample_bundle.record, folder)
    return folder
