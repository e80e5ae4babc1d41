# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: real command lines, their figures written to ``reports/results``.

``python -m reports.bench [NAME ...]`` (or ``make bench NAME=...``) runs them in ``build/bench``.
A benchmark whose data is not beside the checkout says so and is skipped.
"""
