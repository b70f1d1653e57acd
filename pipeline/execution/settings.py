"""``shards`` and ``ray`` in ``params.yaml``: how the work is split, and over which machines."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from grace.pipeline.section import Count, NotNegative, Positive, Section


class ShardsSettings(Section):
    """How every store is split."""

    clips: Count = 32  # per shard


class RaySettings(Section):
    """The cluster of ``runner: ray``; every node sees the project's folder and the raw data under the same path."""

    address: str = "auto"  # host:port; auto: the cluster this machine is part of, else one of its own; local: its own
    workers: Annotated[int, Field(ge=0)] = 0  # actors that run concurrently; 0: as many as the cluster can hold
    cpus: Positive = 1.0  # of each worker
    gpus: NotNegative = 0.0  # of each worker
