# SPDX-License-Identifier: Apache-2.0
"""Calibration recipes: stages that move weights, biases and ranges to win back accuracy."""
