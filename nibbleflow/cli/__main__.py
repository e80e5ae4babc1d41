# SPDX-License-Identifier: Apache-2.0
"""``python -m nibbleflow.cli``: the command line without the installed script."""

from nibbleflow.cli import main

main()
