# SPDX-License-Identifier: Apache-2.0
"""Results to records, tables, plots and pages."""
