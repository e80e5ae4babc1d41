# SPDX-License-Identifier: Apache-2.0
"""A module that stands for one operation of a graph file, so that messages can use its name."""

from torch import nn


class Operation(nn.Module):
    """One operation: recorded torch calls inside it are named like the module itself.

    Attributes:
        kind: What a user calls it, for example ``Conv``; it stands in messages.
    """

    def __init__(self, kind: str) -> None:
        """Remember the kind."""
        super().__init__()
        self.kind = kind
