"""This package with its option for processors that compute in bfloat16."""

from __future__ import annotations

from workers import ours


class Worker(ours.Worker):
    """One pair at a time."""

    precision = "bfloat16"
