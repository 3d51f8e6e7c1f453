"""Every documented word of the field is taken, translated or named as lacking, and never mistaken for another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peakmark.errors import SettingsError
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.familiar_words.habits import HABITS, SAME_THING, habit_of
from peakmark.settings.familiar_words.translation import COMMANDS, flags_of, in_our_names, translated, without_model
from peakmark.settings.fields import PredictSettings, Settings, TrackSettings, ValSettings
from peakmark.settings.parse import parse
from peakmark.settings.settings_file import with_file

NEEDED = {Settings: {"data": "d.yaml"}, ValSettings: {"model": "m.pt"}, PredictSettings: {"model": "m.pt"}}
NEEDED[TrackSettings] = {"model": "m.pt"}

# The documented arguments of YOLOv8's public trainer with their defaults: a script that writes all of them out asks for
# nothing special, and gets the run that it would get without them.
DOCUMENTED: dict[type[SettingsModel], dict[str, Any]] = {
    Settings: {
        "task": "detect", "mode": "train", "epochs": 100, "time": None, "patience": 100, "batch": 16, "imgsz": 640,
        "save": True, "save_period": -1, "cache": False, "device": None, "workers": 8, "project": None, "name": None,
        "exist_ok": False, "pretrained": True, "optimizer": "auto", "seed": 0, "deterministic": True, "verbose": True,
        "single_cls": False, "classes": None, "rect": False, "multi_scale": False, "cos_lr": False, "close_mosaic": 10,
        "amp": True, "fraction": 1.0, "profile": False, "freeze": None, "lr0": 0.01, "lrf": 0.01, "momentum": 0.937,
        "weight_decay": 0.0005, "warmup_epochs": 3.0, "warmup_momentum": 0.8, "warmup_bias_lr": 0.1, "box": 7.5,
        "cls": 0.5, "cls_pw": 0.0, "dfl": 1.5, "pose": 12.0, "kobj": 1.0, "rle": 1.0, "angle": 1.0, "nbs": 64,
        "overlap_mask": True, "mask_ratio": 4, "dropout": 0.0, "val": True, "plots": True, "compile": False,
        "hsv_h": 0.015, "hsv_s": 0.7, "hsv_v": 0.4, "degrees": 0.0, "translate": 0.1, "scale": 0.5, "shear": 0.0,
        "perspective": 0.0, "flipud": 0.0, "fliplr": 0.5, "bgr": 0.0, "mosaic": 1.0, "mixup": 0.0, "cutmix": 0.0,
        "copy_paste": 0.0, "copy_paste_mode": "flip", "auto_augment": "randaugment", "erasing": 0.4,
        "conf": None, "iou": 0.7, "max_det": 300, "half": False, "label_smoothing": 0.0, "crop_fraction": 1.0,
        "augment": False,
    },
    ValSettings: {
        "task": "detect", "mode": "val", "imgsz": 640, "batch": 16, "save_json": False, "conf": 0.001, "iou": 0.7,
        "max_det": 300, "half": False, "device": None, "dnn": False, "plots": True, "classes": None, "rect": True,
        "split": "val", "project": None, "name": None, "verbose": True, "save_txt": False, "save_conf": False,
        "workers": 8, "augment": False, "agnostic_nms": False, "single_cls": False, "visualize": False,
        "exist_ok": False, "save_hybrid": False, "end2end": None, "compile": False,
    },
    PredictSettings: {
        "task": "detect", "mode": "predict", "conf": 0.25, "iou": 0.7, "imgsz": 640, "rect": True, "half": False,
        "device": None, "batch": 1, "max_det": 300, "vid_stride": 1, "stream_buffer": False, "visualize": False,
        "augment": False, "agnostic_nms": False, "classes": None, "retina_masks": False, "embed": None,
        "project": None, "name": None, "stream": False, "verbose": True, "compile": False, "end2end": None,
        "show": False, "save": False, "save_frames": False, "save_txt": False, "save_conf": False, "save_crop": False,
        "show_labels": True, "show_conf": True, "show_boxes": True, "line_width": None, "exist_ok": False,
    },
}  # fmt: skip
DOCUMENTED[TrackSettings] = {
    **DOCUMENTED[PredictSettings], "mode": "track", "tracker": "bytetrack.yaml", "persist": False, "conf": 0.1,
    "track_high_thresh": 0.25, "track_low_thresh": 0.1, "new_track_thresh": 0.25, "track_buffer": 30,
    "match_thresh": 0.8, "fuse_score": True,
}  # fmt: skip
EACH = [(kind, name, value) for kind, words in DOCUMENTED.items() for name, value in words.items()]


def as_typed(value: Any) -> str:
    return str(value)


@pytest.mark.parametrize(("kind", "name", "value"), EACH, ids=lambda x: getattr(x, "__name__", str(x)))
def test_every_documented_default_is_taken_in_python_and_on_the_command_line(kind, name, value):
    for written in (value, as_typed(value)):
        parse(kind, {**NEEDED[kind], name: written})


def test_all_defaults_at_once_are_the_defaults_and_said_in_few_sentences():
    # Where ours differ, follow from others, or are the model's own.
    explicit = {
        "lr0",
        "momentum",
        "warmup_bias_lr",
        "nbs",
        "close_mosaic",
        "workers",
        "cache",
        "batch",
        "conf",
        "iou",
        "max_det",
        "track_low_thresh",
    }
    for kind, words in DOCUMENTED.items():
        # A validation by itself repeats its run's thresholds where it is given none.
        own = {*explicit, "conf", "iou", "max_det"} if kind is ValSettings else explicit
        given = {name: value for name, value in words.items() if name not in own}
        parsed = parse(kind, {**NEEDED[kind], **given})
        plain = parse(kind, {**NEEDED[kind], "imgsz": 640})
        assert parsed.settings == plain.settings
        assert len(parsed.notes) <= 3


def test_what_has_no_effect_is_said():
    def notes(kind: type[SettingsModel], **given: Any) -> str:
        return " ".join(parse(kind, {**NEEDED[kind], **given}).notes)

    assert "tile_overlap has no effect" in notes(PredictSettings, tile_overlap=0.3)
    assert notes(PredictSettings, tile_overlap=0.3, tiles=64) == ""
    assert "no weak detections are left" in notes(TrackSettings, conf=0.25)
    assert notes(TrackSettings, conf=0.2) == notes(TrackSettings) == ""


ASKED = [
    (Settings, "rect", True, "training images are square"),
    (Settings, "save", False, "always written"),
    (Settings, "half", True, "train with amp=True"),
    (Settings, "task", "segment", "does no other task"),
    (Settings, "copy_paste", 0.3, "Peakmark has no copy-paste"),
    (Settings, "bgr", 0.5, "Peakmark has no swapping"),
    (Settings, "label_smoothing", 0.1, "Peakmark has no label smoothing"),
    (Settings, "augment", True, "val, predict and gate have augment=True"),
    (Settings, "hyp", "hyp.yaml", "cfg=args.yaml reads settings"),
    (Settings, "names", ["a"], "stand in data.yaml"),
    (Settings, "nms", False, "need suppression"),
    (Settings, "noval", True, "write val=False"),
    (Settings, "verbose", False, "> log.txt"),
    (Settings, "save_dir", "x", "project=FOLDER name=NAME"),
    (ValSettings, "dnn", True, "torch only"),
    (ValSettings, "half", True, "leave it out"),
    (PredictSettings, "embed", [21], "model.model"),
    (PredictSettings, "show", True, "save=True"),
    (PredictSettings, "save_frames", True, "save=True"),
    (PredictSettings, "stream_buffer", True, "newest picture"),
    (TrackSettings, "tracker", "botsort.yaml", "ByteTrack alone"),
    (TrackSettings, "show", True, "save=True"),
    (ValSettings, "tiles", 640, "predict has tiles="),
]


@pytest.mark.parametrize(("kind", "name", "value", "says"), ASKED)
def test_what_is_lacking_is_named_with_what_to_do_and_no_other_setting_is_advised(kind, name, value, says):
    for written in (value, as_typed(value)):
        with pytest.raises(SettingsError) as caught:
            parse(kind, {**NEEDED[kind], name: written})
        (sentence,) = caught.value.violations
        assert sentence.startswith(f"{name}=")
        assert says in sentence
        assert "nearest" not in sentence


@pytest.mark.parametrize(
    "name", ["fl_gamma", "nms", "embed", "pose", "save_crop", "names", "cfg", "crop_fraction", "rle"]
)
def test_a_word_of_the_field_is_no_slip_of_another(name):
    found = translated(Settings, {name: "0.37"})
    assert "nearest" not in " ".join((*found.violations, *found.notes))
    assert not found.values


@pytest.mark.parametrize(("typed", "ours"), sorted(SAME_THING.items()))
def test_another_name_gives_the_same_settings_and_is_said(typed, ours):
    kind = next(kind for kind in COMMANDS.values() if ours in kind.model_fields)
    value = {"model": "m.pt", "device": "cpu", "optimizer": "SGD", "project": "p", "iou": 0.5, "conf": 0.5}.get(ours, 1)
    found = translated(kind, {typed: value})
    assert found.values == translated(kind, {ours: value}).values
    assert f"{typed}={value} as {ours}={value}" in " ".join(found.notes)


def test_a_name_is_ours_in_any_case_of_its_letters_for_settings_and_for_what_a_resume_changes():
    for typed in ("IMGSZ", "--imgsz", "ImgSz", "IMG"):
        assert translated(Settings, {typed: 64}).values == in_our_names(Settings, {typed: 64}) == {"imgsz": 64}
    assert without_model(ValSettings, {"Weights": "a.pt", "MODEL": "b.pt", "conf": 0.1}) == {"conf": 0.1}


def test_what_is_said_of_a_value_is_what_is_taken():
    found = translated(PredictSettings, {"imgsz": "[480,640]", "img_size": None, "conf": 0.3})
    assert found.became["imgsz"] == "taken as imgsz=640"
    assert found.became["conf"] == "taken as it is"


def test_both_names_of_one_thing_are_one_too_many():
    for given in ({"batch": 4, "batch_size": 8}, {"batch_size": 8, "bs": 4}):
        with pytest.raises(SettingsError, match="keep one of them"):
            parse(Settings, {"data": "d", **given})
    assert parse(Settings, {"data": "d", "batch_size": 8, "--bs": 8}).settings.batch == 8


def test_no_habit_is_a_setting():
    """What has become a setting is no habit any more: its old answer would never be given, and is wrong."""
    for command, kind in COMMANDS.items():
        stale = [name for name in kind.model_fields if habit_of(name, command) is not None and name in HABITS]
        assert not stale, f"{command}: {stale}"


def test_every_answer_says_what_to_do():
    for name, habit in HABITS.items():
        assert habit.anyway or habit.instead, name
        assert habit.why or not habit.anyway, name


def test_a_one_is_no_true():
    assert habit_of("save", "train") is not None
    with pytest.raises(SettingsError):
        parse(Settings, {"data": "d", "save": 1})


def test_switches_may_stand_alone():
    assert {"exist_ok", "val", "verbose", "save", "resume", "rect"} <= flags_of(Settings)
    assert not {"epochs", "data", "name"} & flags_of(Settings)


# --- a file of settings ---------------------------------------------------------------------------------------------


def write(folder: Path, text: str) -> Path:
    path = folder / "args.yaml"
    path.write_text(text)
    return path


def test_a_file_of_settings_is_read_line_by_line_and_what_is_given_counts_before_it(tmp_path):
    lines = {
        **DOCUMENTED[Settings],
        "epochs": 7,
        "batch_size": 4,
        "vid_stride": 1,
        "format": "torchscript",
        "source": "x",
    }
    del lines["batch"]
    path = write(tmp_path, "".join(f"{name}: {'null' if v is None else v}\n" for name, v in lines.items()))
    given = with_file(Settings, {"cfg": path, "data": "d.yaml", "imgsz": 320})
    parsed = parse(Settings, given)
    assert (parsed.settings.epochs, parsed.settings.batch, parsed.settings.imgsz) == (7, 4, 320)
    table = next(note for note in parsed.notes if note.startswith("What became of the lines"))
    became = {line.split()[0]: line for line in table.splitlines()[1:]}
    assert became.keys() == lines.keys()
    assert "taken as batch=4" in became["batch_size"]
    assert "taken as it is" in became["epochs"]
    assert "what is given beside the file counts" in became["imgsz"]
    assert "nothing to do" in became["pose"]
    assert "belongs to another command" in became["vid_stride"]
    assert "the default" in became["time"]


THEIRS = "task: detect\nmode: train\noptimizer: auto\nlr0: 0.01\nmomentum: 0.937\nwarmup_bias_lr: 0.1\nnbs: 64\n"


def test_what_nobody_chose_in_another_trainer_s_file_stays_open(tmp_path):
    """It writes the rate that its auto ignores; taken as chosen it would be seven times ours."""
    path = write(tmp_path, THEIRS + "close_mosaic: 10\n")
    parsed = parse(Settings, with_file(Settings, {"cfg": path, "data": "d.yaml"}))
    asked = {name: getattr(parsed.settings, name) for name in ("lr0", "momentum", "warmup_bias_lr", "nbs")}
    assert asked == dict.fromkeys(asked)
    assert parsed.settings.close_mosaic is None
    (table,) = [note for note in parsed.notes if note.startswith("What became of the lines")]
    assert "0.01: left out, optimizer: auto chooses it" in table
    assert "64, its default: follows from the run's length here" in table


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        (THEIRS.replace("auto", "SGD"), {}, {"lr0": 0.01, "momentum": 0.937, "warmup_bias_lr": 0.1, "nbs": None}),
        (THEIRS.replace("64", "128") + "close_mosaic: 5\n", {}, {"lr0": None, "nbs": 128, "close_mosaic": 5}),
        (THEIRS, {"lr0": 0.02, "nbs": 64}, {"lr0": 0.02, "nbs": 64, "momentum": None}),
        ("lr0: 0.01\nnbs: 64\nclose_mosaic: 10\n", {}, {"lr0": 0.01, "nbs": 64, "close_mosaic": 10}),
    ],
    ids=["another optimizer", "other numbers", "given beside it", "a file of ours"],
)
def test_what_was_chosen_is_taken(tmp_path, text, given, expected):
    parsed = parse(Settings, with_file(Settings, {"cfg": write(tmp_path, text), "data": "d.yaml", **given}))
    assert {name: getattr(parsed.settings, name) for name in expected} == expected


def test_what_yolov5_calls_cls_pw_is_not_taken_for_ours(tmp_path):
    """1 is its usual value, and none; as ours it would be full inverse frequency."""
    given = {"cfg": write(tmp_path, "cls_pw: 1.0\nobj_pw: 1.0\n"), "data": "d.yaml"}
    parsed = parse(Settings, with_file(Settings, given))
    assert parsed.settings.cls_pw == 0
    (table,) = [note for note in parsed.notes if note.startswith("What became of the lines")]
    assert "1: left out, beside obj_pw it is the weight of positives" in table
    with pytest.raises(SettingsError, match=r"cls_pw: 2 beside obj_pw.* weight of positives, which Peakmark lacks"):
        with_file(Settings, {"cfg": write(tmp_path, "cls_pw: 2.0\nobj_pw: 1.0\n")})
    ours = parse(Settings, with_file(Settings, {"cfg": write(tmp_path, "cls_pw: 1.0\n"), "data": "d.yaml"}))
    assert ours.settings.cls_pw == 1


def test_lines_that_can_t_be_taken_are_all_named(tmp_path):
    path = write(tmp_path, "fl_gamma: 0.5\nepochz: 3\nepochs: 3\n")
    with pytest.raises(SettingsError) as caught:
        with_file(Settings, {"cfg": str(path)})
    assert len(caught.value.violations) == 2
    assert all(sentence.startswith(str(path)) for sentence in caught.value.violations)


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [", "3: 4\n", "!!python/object:os.system {}\n"])
def test_what_is_no_file_of_settings_is_refused(tmp_path, text):
    with pytest.raises(SettingsError, match=r"cfg=.*args.yaml"):
        with_file(Settings, {"cfg": write(tmp_path, text)})
    with pytest.raises(SettingsError, match="there is no such file"):
        with_file(Settings, {"cfg": tmp_path / "none.yaml"})
    with pytest.raises(SettingsError, match="is read by train, val, predict and resume"):
        parse(COMMANDS["gate"], {"model": "m", "require": "map50>=0.5", "cfg": "args.yaml"})
