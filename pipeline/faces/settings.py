"""The section ``faces`` of ``params.yaml``: sampling, detecting and cropping."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from grace.pipeline.section import Count, NotNegative, Section


class FacesSettings(Section):
    """Sampling, detecting and cropping (``grace faces``)."""

    instants: Count = 16  # T
    size: Annotated[int, Field(ge=32)] = 128  # pixels, square crops
    detector: Literal["none", "haar", "yunet"] = "haar"
    detector_model: Annotated[str | None, Field(validate_default=True)] = None  # the ONNX file, for yunet
    detect_every: Count = 2  # detect at every second instant; boxes between are interpolated
    margin: NotNegative = 0.15  # added on each side of the box, as a share of its longer side
    quality: Annotated[int, Field(ge=1, le=100)] = 95  # JPEG

    @field_validator("detector_model")
    @classmethod
    def _yunet_needs_its_model(cls, model: str | None, info: Any) -> str | None:
        if info.data.get("detector") == "yunet" and not model:
            raise ValueError("detector yunet needs its ONNX file: name its path here")
        return model
