"""What stages take, per clip and for a whole data set: seconds as a range, bytes, GPU memory, tokens, money."""

from __future__ import annotations

from dataclasses import dataclass

from grace.pipeline.estimate.machine import Machine
from grace.pipeline.estimate.settings import EstimateSettings


@dataclass(frozen=True)
class Span:
    """Seconds: what is expected while the machine is as it is, and how far off that may be."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.expected + other.expected, self.high + other.high)


@dataclass(frozen=True)
class StageCost:
    """What one stage takes.

    Example:
        >>> cost = StageCost("faces", seconds_per_clip=0.5, processes=4, parallel=4.0, parallel_idle=4.0)
        >>> cost.seconds(clips=28_800).expected / 3600
        1.0
    """

    stage: str
    seconds_per_clip: float | None = None
    """In one process, once its model is open; None when the stage could not be tried."""
    deviation: float = 0.0
    """Standard error of ``seconds_per_clip``, as a share of it."""
    start_seconds: float = 0.0
    """Once per command: libraries are imported, processes started, the model opened."""
    processes: int = 1
    """Clips that are done concurrently."""
    parallel: float = 1.0
    """How many times as many clips per second all of them do as the one that was tried, under the present load."""
    parallel_idle: float = 1.0
    """The same on a machine without other work."""
    bytes_per_clip: float | None = None
    """On disk; None when the stage could not be tried."""
    gpu_bytes: int | None = None
    """GPU memory at the peak; None without a GPU."""
    weight_bytes: int | None = None
    """The stage's model at 16 bits per weight, which a GPU must hold at least; None without a local model."""
    tokens_in: float = 0.0
    """Tokens per clip that a text engine read, questions that were asked again included."""
    tokens_out: float = 0.0
    """Tokens per clip that it wrote."""
    paid_tokens: bool = False
    """Whether a server answers, whose tokens have a price."""
    note: str = ""
    """Why the stage could not be tried, or what went wrong with single clips."""

    def seconds(self, clips: int) -> Span | None:
        """For ``clips`` clips; None when the stage could not be tried."""
        if self.seconds_per_clip is None:
            return None
        work = self.seconds_per_clip * clips
        off = 2 * self.deviation
        return Span(
            self.start_seconds + work / max(self.parallel, self.parallel_idle) * max(0.0, 1 - off),
            self.start_seconds + work / self.parallel,
            self.start_seconds + work / min(self.parallel, self.parallel_idle) * (1 + off),
        )

    def token_price(self, clips: int, prices: EstimateSettings) -> float:
        """What the tokens of ``clips`` clips cost."""
        if not self.paid_tokens:
            return 0.0
        each = self.tokens_in * (prices.million_tokens_in or 0) + self.tokens_out * (prices.million_tokens_out or 0)
        return each * clips / 1e6


@dataclass(frozen=True)
class TokenShape:
    """Sizes of a clip's tokens.

    Example:
        >>> shape = TokenShape(instants=16, patches=49, length=128, width=512)
        >>> shape.bytes("float16"), shape.bytes("int8"), shape.bytes("int8", keep=12)
        (951168, 479744, 174660)
    """

    instants: int
    """T, instants per clip."""
    patches: int
    """P, patches per instant."""
    length: int
    """L, text tokens."""
    width: int
    """D_v, dimensions of a visual token."""
    text_width: int = 0
    """D_u, of a text token; D_v if not given."""

    def __post_init__(self) -> None:
        if not self.text_width:
            object.__setattr__(self, "text_width", self.width)

    def bytes(self, storage: str, keep: int | None = None) -> int:
        """Size on disk per clip, in bytes.

        Args:
            storage: ``float16`` or ``int8``, as in ``tokens.storage``.
            keep: Patches kept per instant, as in ``tokens.patches``; None for all.
        """
        tokens = self.instants * ((keep or self.patches) + 1)
        scale_bytes, element = (4, 1) if storage == "int8" else (0, 2)
        index_bytes = 2 * self.instants * keep + 4 if keep else 0
        of_text = self.length * (self.text_width * element + scale_bytes + 7)
        return tokens * (self.width * element + scale_bytes) + of_text + index_bytes


@dataclass(frozen=True)
class Estimate:
    """How many clips a data set has, and what each stage takes for one of them."""

    clips: int
    """Clips of the data set: that can be read, or that are listed where nothing is indexed yet."""
    tried: int
    """Clips that the figures come from."""
    costs: tuple[StageCost, ...]
    """One per stage, in their order; index among them where nothing is indexed yet."""
    shape: TokenShape | None
    """Of the tokens; None when the stage could not be tried."""
    machine: Machine
    """What the stages have."""
    trainable: bool = True
    """Whether clips have labels and folds, without which nothing can be trained."""
    notes: tuple[str, ...] = ()
    """What of the set is not used, or not as its name says, in sentences."""

    def seconds(self) -> Span:
        """All stages that could be tried, together."""
        found = Span(0.0, 0.0, 0.0)
        for cost in self.costs:
            found += cost.seconds(self.clips) or Span(0.0, 0.0, 0.0)
        return found
