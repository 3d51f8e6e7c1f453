"""How does a model look for objects in whatever a user hands over? The part of the facade behind `predict`.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from peakmark.api.model.found import check_asked
from peakmark.api.model.trained import Trained, arithmetic_of
from peakmark.deploy.frames import Frame
from peakmark.deploy.predict import predict
from peakmark.deploy.results import Results
from peakmark.deploy.saving import Shown, open_saver
from peakmark.deploy.sources import open_source
from peakmark.deploy.tiled.layout import Tiling
from peakmark.deploy.tiled.looking import batch_with_tiles, predict_in_tiles, saying_what_is_shrunk
from peakmark.deploy.tracking.following import Following
from peakmark.deploy.tracking.tracker import TrackRules
from peakmark.events import Notice, Observer
from peakmark.export.exported import ExportedModel, RuntimePredictor
from peakmark.geometry.views import views_for
from peakmark.model.candidates import Thresholds
from peakmark.model.detector import Detector
from peakmark.model.predictor import ReadyPredictor
from peakmark.nouns.images import Detect
from peakmark.record.folder import create_run_folder
from peakmark.settings.chosen_classes import class_numbers
from peakmark.settings.fields import PredictSettings, TrackSettings


def find_objects(
    source: object,
    trained: Trained,
    wishes: PredictSettings,
    observe: Observer,
    model: Detector | ExportedModel,
    predictor: ReadyPredictor,
    *,
    shared: bool,
    following: Following | None = None,
) -> Iterator[Results]:
    """Gives the results of a source one by one, with ids by `following`, and saves them where that is wished.

    `model`: the network with the weights that `trained` is known of; `shared`: others hold it and may change its
    weights. Raises DataError, and MachineError where anything is saved.
    """
    check_asked(model, wishes)
    arithmetic = arithmetic_of(trained, wishes.device, observe)
    thresholds = Thresholds(wishes.conf, wishes.iou, wishes.max_det, wishes.agnostic_nms)
    frames = open_source(
        source, vid_stride=wishes.vid_stride, max_image_pixels=wishes.max_image_pixels, observer=observe
    )
    tiling = None if wishes.tiles is None else Tiling(wishes.tiles, wishes.tile_overlap)
    batch, frames = (wishes.batch, frames) if wishes.batch is not None else batch_with_tiles(frames, tiling)
    views = views_for(augment=wishes.augment)
    detect: Detect
    if isinstance(model, ExportedModel):
        detect = RuntimePredictor(model.runtime, model.about, thresholds, one_class_per_box=True)
    else:
        detect = predictor.of(
            model, arithmetic, thresholds, chunk=batch, one_class_per_box=True, shared=shared, views=views
        )
    results = _found(frames, detect, trained, wishes, observe, tiling, batch)
    if following is not None:
        results = following.follow(results)
    kinds = (wishes.save, wishes.save_txt, wishes.save_json, wishes.save_csv, wishes.save_crop, wishes.save_labelme)
    if not any(kinds):
        yield from results
        return
    folder, said = create_run_folder(Path(wishes.project), wishes.name, exist_ok=wishes.exist_ok)
    for note in said:
        observe(Notice(note))
    is_live = False
    try:
        with open_saver(
            folder.path,
            observer=observe,
            pictures=wishes.save,
            line_width=wishes.line_width,
            shown=Shown(wishes.show_boxes, wishes.show_labels, wishes.show_conf),
            crops=wishes.save_crop,
            txt=wishes.save_txt,
            txt_conf=wishes.save_conf,
            json=wishes.save_json,
            csv=wishes.save_csv,
            labelme=wishes.save_labelme,
            tracked=following is not None,
        ) as saver:
            for result in results:
                saver.add(result)
                is_live = result.origin.live
                yield result
    except (KeyboardInterrupt, GeneratorExit) as ended:
        # A program that has enough of a file knows what it does; a camera is always ended like this.
        if is_live or isinstance(ended, KeyboardInterrupt):
            observe(Notice(f"Stopped. What was whole by then is in {folder.path}"))
        raise
    observe(Notice(f"Written to {folder.path}"))


def _found(
    frames: Iterator[Frame],
    detect: Detect,
    trained: Trained,
    wishes: PredictSettings,
    observe: Observer,
    tiling: Tiling | None,
    batch: int,
) -> Iterator[Results]:
    """What is in each picture, looked at whole or in tiles."""
    side_px = wishes.imgsz or trained.settings["imgsz"]
    classes = class_numbers(wishes.classes, trained.names, "the model")
    if tiling is None:
        frames = saying_what_is_shrunk(frames, side_px, observe)
        return predict(
            frames,
            detect,
            names=trained.names,
            side_px=side_px,
            square=trained.square,
            batch=batch,
            classes=classes,
        )
    return predict_in_tiles(
        frames,
        detect,
        tiling=tiling,
        names=trained.names,
        side_px=side_px,
        square=trained.square,
        max_detections=wishes.max_det,
        agnostic=wishes.agnostic_nms,
        observer=observe,
        batch=batch,
        classes=classes,
    )


def following_for(wishes: TrackSettings, before: Following | None) -> Following:
    """What gives objects their ids by these settings: what did before, if by the same. Raises MachineError."""
    rules = TrackRules(
        high=wishes.track_high_thresh,
        new=wishes.new_track_thresh,
        buffer=wishes.track_buffer,
        match=wishes.match_thresh,
    )
    return before if before is not None and before.rules == rules else Following(rules)
