"""How large is each YOLOv8? Depth, width and channel cap of the five published scales."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Multipliers of the published layer table: repeats by `depth`, channels by `width` after a cap."""

    name: str
    depth: float
    width: float
    channel_cap: int

    def channels(self, published: int) -> int:
        """Scales a channel count, rounded up to a multiple of 8."""
        scaled = min(published, self.channel_cap) * self.width
        return int(-(-scaled // 8) * 8)

    def repeats(self, published: int) -> int:
        return max(1, round(published * self.depth))


SCALES = {
    scale.name: scale
    for scale in (
        Scale("yolov8n", 0.33, 0.25, 1024),
        Scale("yolov8s", 0.33, 0.50, 1024),
        Scale("yolov8m", 0.67, 0.75, 768),
        Scale("yolov8l", 1.00, 1.00, 512),
        Scale("yolov8x", 1.00, 1.25, 512),
    )
}
