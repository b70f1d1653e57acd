"""``estimate`` in ``params.yaml``: what time and tokens cost, where that is to be said."""

from __future__ import annotations

from grace.pipeline.section import NotNegative, Section


class EstimateSettings(Section):
    """Prices, in one currency (``grace estimate``); a price that is not set adds nothing."""

    currency: str = "USD"
    hour: NotNegative | None = None  # of this machine, or of the whole cluster
    million_tokens_in: NotNegative | None = None  # of a server (engine openai)
    million_tokens_out: NotNegative | None = None
