"""The command line is a promise: command names, setting names and defaults, and how it answers mistakes.

A line of the tables below changes only together with a line in the CHANGELOG.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peakmark.cli.main import _PANELS
from peakmark.settings.description import describe
from peakmark.settings.fields import (
    AuditSettings,
    BenchmarkSettings,
    CompareSettings,
    ConvertSettings,
    DoctorSettings,
    ExportSettings,
    FoldsSettings,
    GateSettings,
    LogSettings,
    PredictSettings,
    PromoteSettings,
    ResumeSettings,
    SeedsSettings,
    Settings,
    TrackSettings,
    TuneSettings,
    ValSettings,
    WatchSettings,
)

NEEDED = ""
TRAIN = {
    "model": "yolov8n.yaml", "data": NEEDED, "download": "False", "pretrained": "None", "imgsz": "640", "fraction": "1",
    "bad_labels": "refuse", "max_image_pixels": "200000000",
    "classes": "None", "single_cls": "False", "seed": "0", "epochs": "100", "val": "True",
    "val_period": "1", "fitness": "map50_95",
    "patience": "100", "min_delta": "0", "stop_phase": "close",
    "time": "None", "batch": "16", "nbs": "None", "optimizer": "auto", "lr0": "None", "lrf": "0.01",
    "cos_lr": "False", "momentum": "None", "weight_decay": "0.0005", "warmup_epochs": "3", "warmup_momentum": "0.8",
    "warmup_bias_lr": "None", "clip_grad": "10", "freeze": "[]", "max_nonfinite": "3", "mosaic": "1",
    "close_mosaic": "None", "mixup": "0", "cutmix": "0", "hsv_h": "0.015", "hsv_s": "0.7", "hsv_v": "0.4",
    "degrees": "0", "translate": "0.1", "scale": "0.5", "shear": "0", "perspective": "0", "fliplr": "0.5",
    "flipud": "0", "multi_scale": "0", "conf": "0.001", "iou": "0.7", "max_det": "300",
    "box": "7.5", "cls": "0.5", "cls_pw": "0", "dfl": "1.5", "device": "None",
    "processes": "None", "process_timeout": "300", "parts": "None", "amp": "True",
    "threads": "None", "deterministic": "True", "compile": "False", "workers": "None", "cache": "auto",
    "profile": "False", "watch": "False", "verify": "full",
    "project": "runs/detect", "name": "train", "exist_ok": "False", "keep": "3", "average": "True",
    "save_period": "0", "save_interval": "10", "backup": "None", "log_to": "None",
    "plots": "True",
}  # fmt: skip
VAL = {
    "model": NEEDED, "data": "None", "download": "False", "split": "val", "imgsz": "None",
    "bad_labels": "None", "max_image_pixels": "None",
    "classes": "None",
    "conf": "None", "iou": "None", "max_det": "None", "agnostic_nms": "False", "augment": "False", "save_json": "False",
    "save_txt": "False", "save_conf": "False",
    "batch": "16", "device": "None", "workers": "None", "verify": "full", "project": "runs/detect", "name": "val",
    "exist_ok": "False", "plots": "True",
}  # fmt: skip
PREDICT = {
    "model": NEEDED, "imgsz": "None", "max_image_pixels": "200000000", "vid_stride": "1",
    "tiles": "None", "tile_overlap": "0.2", "conf": "0.25", "iou": "0.7", "max_det": "300",
    "agnostic_nms": "False", "augment": "False", "save_crop": "False", "show_boxes": "True", "show_labels": "True",
    "show_conf": "True",
    "classes": "None", "batch": "None", "device": "None", "save": "False", "save_txt": "False", "save_conf": "False",
    "save_json": "False", "save_csv": "False", "save_labelme": "False",
    "line_width": "None", "project": "runs/detect", "name": "predict",
    "exist_ok": "False",
}  # fmt: skip
TRACK = {
    **PREDICT, "conf": "0.1", "name": "track", "track_high_thresh": "0.25", "new_track_thresh": "0.25",
    "track_buffer": "30", "match_thresh": "0.8",
}  # fmt: skip
AUDIT = {
    "data": NEEDED, "download": "False", "bad_labels": "refuse", "max_image_pixels": "200000000", "fix": "None",
    "classes": "None", "single_cls": "False",
    "project": "runs/detect", "name": "audit",
    "exist_ok": "False",
}  # fmt: skip
WATCH = {"host": "127.0.0.1", "port": "8765"}
COMPARE = {"fitness": "None", "project": "runs/detect", "name": "compare", "exist_ok": "False"}
GATE = {
    "model": NEEDED, "data": "None", "download": "False", "split": "val", "imgsz": "None",
    "bad_labels": "None", "max_image_pixels": "None",
    "classes": "None",
    "require": NEEDED, "at": "value", "augment": "False", "batch": "16",
    "device": "None", "workers": "None", "verify": "full",
}  # fmt: skip
TUNE = {
    "space": "None", "trials": "20", "time": "None", "sampler": "tpe", "pruner": "none", "repeat": "2",
    "storage": "None", "resume": "None", "project": "runs/detect", "name": "tune",
}  # fmt: skip
SEEDS = {"n": "5", "resume": "None", "project": "runs/detect", "name": "seeds"}
FOLDS = {"k": "5", "resume": "None", "project": "runs/detect", "name": "folds"}
LOG = {"to": NEEDED, "anew": "False"}
PROMOTE = {
    "to": NEEDED, "name": "None", "version": "None", "license": "None", "whole": "False", "unfinished": "False",
}  # fmt: skip


CONVERT = {
    "source": NEEDED, "from": "None", "images": "None", "names": "None", "first_pixel": "None", "difficult": "keep",
    "max_image_pixels": "200000000", "to": "yolo", "target": NEEDED, "split": "None", "seed": "0", "files": "link",
}  # fmt: skip


EXPORT = {
    "model": NEEDED, "format": "onnx", "data": "None", "imgsz": "None", "dynamic": "False", "batch": "1",
    "half": "False", "int8": "False", "nms": "False", "opset": "None", "iou": "None", "max_det": "None",
    "max_drop": "0.01", "images": "500", "calibrate": "128", "workers": "None", "verify": "full",
}  # fmt: skip
BENCHMARK = {
    "model": NEEDED, "data": "None", "imgsz": "None", "formats": "all", "images": "500", "timed": "100",
    "calibrate": "128", "verify": "full", "project": "runs/detect", "name": "benchmark", "exist_ok": "False",
}  # fmt: skip
DOCTOR = {"device": "None", "project": "runs/detect"}


@pytest.mark.parametrize(
    ("kind", "frozen"),
    [
        (Settings, TRAIN),
        (ValSettings, VAL),
        (PredictSettings, PREDICT),
        (TrackSettings, TRACK),
        (AuditSettings, AUDIT),
        (CompareSettings, COMPARE),
        (WatchSettings, WATCH),
        (LogSettings, LOG),
        (TuneSettings, TUNE),
        (SeedsSettings, SEEDS),
        (FoldsSettings, FOLDS),
        (PromoteSettings, PROMOTE),
        (GateSettings, GATE),
        (ConvertSettings, CONVERT),
        (ExportSettings, EXPORT),
        (BenchmarkSettings, BENCHMARK),
        (DoctorSettings, DOCTOR),
    ],
)
def test_setting_names_and_defaults(kind, frozen):
    assert {description.name: description.default for description in describe(kind).values()} == frozen


def _peakmark(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "peakmark", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=60, check=False)


def test_help_lists_the_commands(commands):
    ended = _peakmark("--help")
    assert ended.returncode == 0
    for command in commands:
        assert f"│ {command} " in ended.stdout


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("train", Settings),
        ("resume", ResumeSettings),
        ("val", ValSettings),
        ("predict", PredictSettings),
        ("track", TrackSettings),
        ("audit", AuditSettings),
        ("compare", CompareSettings),
        ("watch", WatchSettings),
        ("report", CompareSettings),
        ("log", LogSettings),
        ("tune", TuneSettings),
        ("seeds", SeedsSettings),
        ("folds", FoldsSettings),
        ("promote", PromoteSettings),
        ("gate", GateSettings),
        ("doctor", DoctorSettings),
        ("convert", ConvertSettings),
    ],
)
def test_help_of_a_command_lists_every_setting_in_80_columns(command, kind):
    ended = _peakmark(command, "--help")
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert max(len(line) for line in lines) <= 80
    for description in describe(kind).values():
        (line,) = (line for line in lines if line.split(" ")[0] == description.name)
        assert line.split()[1] == (description.default or "(needed)")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["audit", "--help"],
        ["compare", "--help"],
        ["watch", "--help"],
        ["train", "--epochs"],
    ],
)
def test_asking_loads_no_torch_touches_no_network_writes_no_file(arguments, tmp_path):
    watched = f"""
import sys
def watch(event, details):
    writes = event == "open" and isinstance(details[1], str) and set(details[1]) & set("wax+")
    if writes or event.startswith("socket."):
        print("TOUCHED", event, details, file=sys.__stderr__)
sys.addaudithook(watch)
sys.dont_write_bytecode = True
sys.argv = ["peakmark", *{arguments!r}]
from peakmark.cli.main import run
try:
    run()
finally:
    print("LOADED", *({{"torch", "cv2", "matplotlib", "jinja2"}} & set(sys.modules)), file=sys.__stderr__)
"""
    environment = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-c", watched]
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60, check=False
    )
    assert "TOUCHED" not in ended.stderr
    assert ended.stderr.splitlines()[-1].strip() == "LOADED"
    assert list(tmp_path.iterdir()) == []


def test_the_list_of_commands_comes_without_what_the_commands_need():
    code = "import peakmark.cli.main, sys; print(*{'pydantic', 'numpy', 'peakmark.nouns'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "\n"


def test_the_list_of_commands_says_what_each_says_of_itself():
    for words in _PANELS.values():
        for name, word in words.items():
            function = getattr(importlib.import_module(f"peakmark.cli.{word.module}"), word.function or name)
            assert word.says == function.__doc__.splitlines()[0]


def test_all_mistakes_at_once_with_the_nearest_name_and_no_traceback(tmp_path):
    ended = _peakmark("train", "epoch=3", "batch=0", "lr0=-1", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [
        "Error: 4 things to fix",
        "  - epoch is no setting; the nearest one is epochs: write epochs=3.",
        "  - data is missing; write data=... (a data.yaml, or shapes for the embedded sample data).",
        "  - batch=0 is out of range; batch is a whole number from 1 (images); -1, or a share such as 0.7, takes as"
        " many as fit into the memory.",
        "  - lr0=-1 is out of range; lr0 is a number above 0, up to 1.",
    ]


def test_spaces_are_answered_with_the_right_spelling():
    ended = _peakmark("train", "epochs", "3", "data.yaml")
    assert ended.returncode == 2
    assert "epochs=3" in ended.stderr
    assert "was data=data.yaml meant?" in ended.stderr


def test_an_unknown_command_is_refused():
    ended = _peakmark("trian", "data=shapes")
    assert ended.returncode == 2
    assert "trian" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_version():
    ended = _peakmark("--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("peakmark 0.")


def test_only_the_command_collects_garbage_less_often():
    """A process that imports the package is its user's."""
    code = "import gc; before = gc.get_threshold(); from peakmark import YOLO; print(gc.get_threshold() == before)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "True\n"
    code = "import atexit, gc, sys; atexit.register(lambda: print(gc.get_threshold()[0]))"
    code += "; sys.argv = ['peakmark', '--version']; from peakmark.cli.main import run; run()"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "100000"
