"""Which settings are there for tracking? Those of a prediction, and what is matched with what from frame to frame.

What a setting does is not known here, only what it means; that it has its effect is a test.
"""

from __future__ import annotations

from peakmark.settings import shared_settings as shared
from peakmark.settings.commands.use import PredictSettings
from peakmark.settings.declaration import Real, Text, Whole, setting
from peakmark.settings.shared_words import DETECTION


class TrackSettings(PredictSettings):
    """The settings of tracking. Where the video comes from is an argument of its own, not a setting."""

    conf: Real = shared.conf(0.1)
    track_high_thresh: Real = setting(
        0.25, "confidence from which a detection is sure; weaker ones only keep an id", DETECTION, "result", ge=0, le=1
    )
    new_track_thresh: Real = setting(
        0.25, "confidence from which a sure detection begins an object", DETECTION, "result", ge=0, le=1
    )
    track_buffer: Whole = setting(30, "how long a lost object keeps its id", DETECTION, "result", unit="frames", ge=0)
    match_thresh: Real = setting(
        0.8, "1 less overlap times confidence, above which it is another object", DETECTION, "result", ge=0, le=1
    )
    name: Text = shared.name("track")
