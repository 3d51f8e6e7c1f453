"""How well does it learn, on every kind of set? Trains this project, an earlier state of it and the peer, seed by seed.

usage: python benchmarks/accuracy.py [--work FOLDER] [--sets bccd tiny ...] [--seeds 0 1 2] [--who ours peer before]
                                     [--before COMMIT] [--core N] [--set key=value ...] [--split val] [--table] [--keep]
Equal data, epochs, image size and batch, everything else at each one's defaults; best.pt of each run is judged by
pycocotools on val and test, whoever trained it. What is done is remembered in the work folder, so it goes on where it
was stopped; two of these may work beside each other, each on a core of its own. `--set` gives settings to ours alone,
under a name of their own (`--who` is then ours). `--table` prints what there is and trains nothing.
Figures of the peer and of this project by each version of its rules are kept in accuracy_kept.json, and what is there
isn't trained again; `--keep` adds those of the work folder, without trials.
The peer's scripts and the real sets lie in ../shared beside the project; without them their rows are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coco_metrics import library_figures
from made_sets import KINDS, write_made_set
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from peakmark.evaluate.uncertainty import student_95
from peakmark.settings.recipe import VERSION

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SHARED = ROOT.parent / "shared"
PEERS = SHARED / "peers"
KEPT = HERE / "accuracy_kept.json"
"""Figures by who trained, set and seed, with the settings."""
OURS = f"ours-{VERSION}"
"""A name for each version of the rules: others would take its figures for theirs."""
PEER_WEIGHTS = PEERS / "ultralytics-8.4.190" / "finished-best.pt"
SPLITS = ("val", "test")
FIGURES = {"map50_95": 0, "map50": 1, "small": 3, "medium": 4, "large": 5}
"""Their places among COCO's twelve."""


@dataclass(frozen=True, slots=True)
class Set:
    """One kind of data, and how long and at which size everybody trains on it."""

    data: Callable[[Path], Path]
    """Gives its data.yaml in a folder that may be written into."""
    epochs: int
    imgsz: int = 320
    batch: int = 16
    model: str = "yolov8n.yaml"


def _copy(source: Path, target: Path, ignore: Any = None) -> None:
    shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True, ignore=ignore)


def _real(name: str) -> Callable[[Path], Path]:
    def copied(folder: Path) -> Path:
        if not (folder / "data.yaml").exists():
            # A copy: the peer writes beside the labels. The data.yaml comes last: where it stands, all the rest does.
            _copy(SHARED / "data" / name, folder, shutil.ignore_patterns("data.yaml"))
            shutil.copyfile(SHARED / "data" / name / "data.yaml", folder / "data.yaml")
        return folder / "data.yaml"

    return copied


def _made(kind: str) -> Callable[[Path], Path]:
    return lambda folder: write_made_set(kind, folder)


def _one_class(folder: Path) -> Path:
    """Blood cells of which the white ones alone are labelled: one large object a picture."""
    data_yaml = folder / "data.yaml"
    if not data_yaml.exists():
        _copy(SHARED / "data/bccd/images", folder / "images")
        for file in sorted((SHARED / "data/bccd/labels").rglob("*.txt")):
            rows = [line.split() for line in file.read_text().splitlines()]
            place = folder / file.relative_to(SHARED / "data/bccd")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("".join(" ".join(["0", *row[1:]]) + "\n" for row in rows if row[0] == "1"))
        splits = "".join(f"{split}: images/{split}\n" for split in ("train", *SPLITS))
        data_yaml.write_text(f"{splits}names:\n  0: WBC\n")
    return data_yaml


SETS = {
    "bccd": Set(_real("bccd"), 30),
    "deeppcb-320": Set(_real("deeppcb"), 25),
    "deeppcb-640": Set(_real("deeppcb"), 25, imgsz=640),
    "shapes": Set(_made("shapes"), 30),
    "tiny": Set(_made("tiny"), 30),
    "few": Set(_made("few"), 60),
    "one class": Set(_one_class, 40),
    "imbalance": Set(_made("imbalance"), 20),
    "dense": Set(_made("dense"), 40),
    "deeppcb, fine-tuned": Set(_real("deeppcb"), 10, model=str(PEER_WEIGHTS)),
    "shapes, fine-tuned": Set(_made("shapes"), 10, model=str(PEER_WEIGHTS)),
}


@dataclass(frozen=True, slots=True)
class Trainer:
    """Who trains: a Python, its driver, and the settings that it gets besides those of all."""

    name: str
    python: str
    driver: str
    environment: Mapping[str, str]
    settings: Mapping[str, str]

    def run(self, *words: str, core: int | None) -> dict[str, Any]:
        """Runs the driver on one core, or where this process may; gives what it says at its end."""
        command = [self.python, str(HERE / "drivers" / self.driver), *words]
        held = ["taskset", "-c", str(core)] if core is not None else []
        done = subprocess.run(
            [*held, *command], env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return said


class Work:
    """The folder of one undertaking: copies of the sets, runs in the making, and a file for each one that is done."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def data(self, name: str) -> Path:
        """Gives the set's data.yaml, and makes it first where nobody has; whoever comes meanwhile waits for it."""
        folder = self._folder / "sets" / name.partition(",")[0].partition("-")[0].replace(" ", "-")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open(folder.with_suffix(".claim"), "w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            return SETS[name].data(folder)

    def done(self, name: str, who: str, seed: int) -> dict[str, Any] | None:
        file = self._file(name, who, seed)
        return json.loads(file.read_text()) if file.exists() else _kept(who, name).get(str(seed))

    def seeds(self, name: str, who: str) -> list[int]:
        here = {int(file.stem) for file in self._file(name, who, 0).parent.glob("*.json")}
        return sorted(here | {int(seed) for seed in _kept(who, name)})

    def names(self) -> list[str]:
        """Who has trained anything."""
        here = {folder.name for folder in self._folder.glob("results/*/*") if any(folder.glob("*.json"))}
        return sorted(here | set(_everything_kept()))

    def keep(self) -> None:
        """Adds what was trained by default to what is kept."""
        kept = {
            who: {
                name: {str(seed): self.done(name, who, seed) for seed in seeds}
                for name in SETS
                if (seeds := self.seeds(name, who))
            }
            for who in sorted({*_everything_kept(), *({OURS, "peer"} & set(self.names()))})
        }
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")

    def train(self, name: str, trainer: Trainer, seed: int, core: int | None) -> None:
        """Trains, judges and remembers; nothing where it is done, or where another process is at it."""
        file = self._file(name, trainer.name, seed)
        with self._claim(file) as is_mine:
            if not is_mine or self.done(name, trainer.name, seed) is not None:
                return
            print(f"{name}, {trainer.name}, seed {seed}", flush=True)
            chosen, data = SETS[name], str(self.data(name))
            run = self._folder / "runs" / name.replace(" ", "-") / trainer.name / str(seed)
            shutil.rmtree(run, ignore_errors=True)
            same = {"model": chosen.model, "data": data, "imgsz": chosen.imgsz, "epochs": chosen.epochs}
            settings = {**same, "batch": chosen.batch, "seed": seed, **trainer.settings}
            said = trainer.run("learn", str(run), *(f"{key}={value}" for key, value in settings.items()), core=core)
            best = str(run / "weights" / "best.pt")
            for split in SPLITS:
                found = run / f"found-{split}.json"
                trainer.run("find", best, data, split, str(chosen.imgsz), str(found), core=core)
                said[split] = judge(Path(data), split, found)
            figures = {"settings": {**settings, "data": name, "model": Path(chosen.model).name}, **said}
            file.write_text(json.dumps(figures, indent=1))
            shutil.rmtree(run)

    def _file(self, name: str, who: str, seed: int) -> Path:
        return self._folder / "results" / name.replace(" ", "-") / who / f"{seed}.json"

    @contextlib.contextmanager
    def _claim(self, file: Path) -> Iterator[bool]:
        """Whether this is ours to do; given up with the process, however that ends."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file.with_suffix(".claim"), "w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def _everything_kept() -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return found


def _kept(who: str, name: str) -> dict[str, Any]:
    return _everything_kept().get(who, {}).get(name, {})


def judge(data_yaml: Path, split: str, found: Path) -> dict[str, float]:
    """COCO's figures by pycocotools: the same reader of labels, and the same judge, for everybody."""
    truth: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    for image in sorted((data_yaml.parent / "images" / split).iterdir()):
        with Image.open(image) as opened:
            width, height = opened.size
        truth["images"].append({"id": image.stem, "width": width, "height": height})
        label = data_yaml.parent / "labels" / split / f"{image.stem}.txt"
        for line in label.read_text().splitlines() if label.exists() else ():
            number, x, y, w, h = line.split()[:5]
            box_w, box_h = float(w) * width, float(h) * height
            box = [float(x) * width - box_w / 2, float(y) * height - box_h / 2, box_w, box_h]
            entry = {"image_id": image.stem, "category_id": int(number), "bbox": box, "area": box_w * box_h}
            truth["annotations"].append({**entry, "id": len(truth["annotations"]) + 1, "iscrowd": 0})
    classes = {annotation["category_id"] for annotation in truth["annotations"]}
    truth["categories"] = [{"id": number, "name": str(number)} for number in sorted(classes)]
    rows = json.loads(found.read_text())
    if not rows:
        return dict.fromkeys(FIGURES, 0.0)
    found_figures = library_figures(COCO, COCOeval, truth, rows)
    return {figure: found_figures[place] for figure, place in FIGURES.items()}


def table(work: Work, sets: Sequence[str], against: Sequence[str], split: str, ours: str) -> str:
    """The means by set, and the differences of `ours` to the others, paired by seed, with a 95 % interval."""
    lines = [f"mAP50-95 on {split} of best.pt, COCO protocol (pycocotools)", ""]
    heads = ["set", "seeds", ours, *(cell for other in against for cell in (other, f"{ours} - {other}"))]
    lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name in sets:
        own = {seed: _figure(work.done(name, ours, seed), split) for seed in work.seeds(name, ours)}
        if not own:
            continue
        cells = [name, str(len(own)), f"{statistics.fmean(own.values()):.4f}"]
        for other in against:
            theirs = {seed: _figure(work.done(name, other, seed), split) for seed in work.seeds(name, other)}
            pairs = [own[seed] - theirs[seed] for seed in own if seed in theirs]
            cells += [f"{statistics.fmean(theirs.values()):.4f}" if theirs else "-", _difference(pairs)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _figure(done: dict[str, Any] | None, split: str) -> float:
    assert done is not None
    return float(done[split]["map50_95"])


def _difference(pairs: Sequence[float]) -> str:
    if not pairs:
        return "-"
    mean = statistics.fmean(pairs)
    if len(pairs) == 1:
        return f"{mean:+.4f} (one seed)"
    half = student_95(len(pairs) - 1) * statistics.stdev(pairs) / math.sqrt(len(pairs))
    return f"{mean:+.4f} ({mean - half:+.4f} to {mean + half:+.4f}, {len(pairs)} pairs)"


def trainers(arguments: argparse.Namespace, work: Path) -> Iterator[Trainer]:
    """Those that are asked for, made ready."""
    given = dict(pair.split("=", 1) for pair in arguments.set)
    for who in arguments.who:
        if who == "ours":
            name = ",".join([OURS, *(f"{key}={value}" for key, value in given.items())])
            yield Trainer(name, sys.executable, "ours.py", {}, given)
        elif who == "before":
            checkout = work / "before" / arguments.before
            if not checkout.exists():
                add = ["git", "worktree", "add", "--force", "--detach"]
                subprocess.run([*add, str(checkout), arguments.before], cwd=ROOT, check=True)
            yield Trainer(
                f"before-{arguments.before}", sys.executable, "ours.py", {"PYTHONPATH": str(checkout / "src")}, {}
            )
        elif PEERS.exists():
            setup = subprocess.run(["bash", str(PEERS / "setup.sh")], capture_output=True, text=True, check=True)
            yield Trainer("peer", setup.stdout.strip(), "peer.py", {}, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "peakmark-accuracy")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--who", nargs="+", choices=("ours", "peer", "before"), default=["ours", "peer"])
    parser.add_argument("--before", help="the commit of the earlier state")
    parser.add_argument("--core", type=int)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--split", choices=SPLITS, default="val")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    if "before" in arguments.who and not arguments.before:
        parser.error("--who before needs --before COMMIT")
    if arguments.set and arguments.who != ["ours"]:
        parser.error("--set is for ours alone: add --who ours")
    work = Work(arguments.work)
    sets = [name for name in arguments.sets if SHARED.exists() or name in KINDS]
    if not arguments.table:
        # Seed by seed and set by set, so that there is something to compare as early as possible.
        ready = list(trainers(arguments, arguments.work.resolve()))
        for seed in arguments.seeds:
            for name in sets:
                for trainer in ready:
                    work.train(name, trainer, seed, arguments.core)
    if arguments.keep:
        work.keep()
    everybody = work.names()
    for ours in (name for name in everybody if name.startswith("ours")):
        print(table(work, sets, [name for name in everybody if name != ours], arguments.split, ours), end="\n\n")


if __name__ == "__main__":
    main()
