"""Face crops: detection, tracking, cropping."""
