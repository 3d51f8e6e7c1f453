"""How large is the page of a run, how soon is it there, and what does watching a run cost? docs/benchmarks.md.

python benchmarks/pages.py             sizes and times of report.html; loading needs Playwright and a Chromium
python benchmarks/pages.py --watch     what `watch=True` costs a training, in processor time
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
from made_runs import MadeRun, write_made_run

from peakmark.live.pages import run_parts
from peakmark.record.folder import RunFolder
from peakmark.report.pages.page import write_page

_SIZES = ((4, 3, 1), (4, 100, 200), (4, 300, 5000), (80, 100, 5000))
"""Classes, epochs, validation images."""
_TIMES = 5


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watch", action="store_true", help="what watching costs a training")
    with tempfile.TemporaryDirectory() as folder:
        if parser.parse_args().watch:
            _watch(Path(folder))
        else:
            _pages(Path(folder))


def _pages(folder: Path) -> None:
    heads = (
        "classes",
        "epochs",
        "validation images",
        "size, MB",
        "made in, s",
        "loaded in, s",
        "processor, s",
        "again, ms",
    )
    print(f"| {' | '.join(heads)} |")
    print("|---" * len(heads) + "|")
    for classes, epochs, images in _SIZES:
        names = [f"class number {number}" for number in range(classes)]
        run = write_made_run(folder / f"{classes}-{epochs}-{images}", MadeRun(names, epochs, images))
        page = run / "report.html"
        made_s = _median_s(partial(write_page, run))
        asked_s = _median_s(partial(run_parts, RunFolder(run), ""))
        size = page.stat().st_size / 1e6
        loaded = _loaded_s(page)
        print(f"| {classes} | {epochs} | {images:,} | {size:.1f} | {made_s:.2f} | {loaded} | {1000 * asked_s:.0f} |")


def _median_s(act: Callable[[], object]) -> float:
    spans = []
    for _ in range(_TIMES):
        began_at = time.perf_counter()
        act()
        spans.append(time.perf_counter() - began_at)
    return statistics.median(spans)


def _loaded_s(page: Path) -> str:
    """From the address to a page that is drawn whole: seconds, and the browser's seconds of processor time.

    The browser has started before. On a machine with other work the second number is the one to go by.
    """
    path = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
    if path is None:
        return "no Chromium"
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - the rest needs none

    spans, worked = [], []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(_TIMES):
            tab = browser.new_context().new_page()
            before_s, began_at = _processor_s(), time.perf_counter()
            tab.goto(page.as_uri(), wait_until="load")
            spans.append(time.perf_counter() - began_at)
            worked.append(_processor_s() - before_s)
            tab.close()
        browser.close()
    return f"{statistics.median(spans):.2f} | {statistics.median(worked):.2f}"


def _processor_s() -> float:
    """What the processes below this one have used: the browser's."""
    total = 0.0
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def _watch(folder: Path) -> None:
    """Trains in turn without and with a page that is open, each time on one core, and prints what each process used."""
    print("| | training, s of processor time | server, s of processor time | requests |")
    print("|---|---|---|---|")
    for turn in range(2):
        for watch in (False, True):
            name = f"{'watch' if watch else 'plain'}{turn}"
            trained_s, served_s, asked = _trained(folder, name, watch=watch)
            print(
                f"| {'watched' if watch else 'not watched'} | {trained_s:.1f} | {served_s:.1f} | {asked} |", flush=True
            )


def _trained(folder: Path, name: str, *, watch: bool) -> tuple[float, float, int]:
    words = ["data=shapes", "model=yolov8n.yaml", "imgsz=160", "epochs=8", "batch=8", "workers=0", "average=False"]
    command = [sys.executable, "-m", "peakmark", "train", *words, f"project={folder}", f"name={name}", f"watch={watch}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    before = os.times()
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    looker = _Looker()
    assert run.stdout is not None
    for line in run.stdout:
        if found := re.search(r"Watch it at (http://\S+)", line):
            looker.start(found[1])
    run.wait()
    after = os.times()
    total = after.children_user + after.children_system - before.children_user - before.children_system
    # The run waits for its server at its end, so the server's time is in the run's, and is taken off.
    return total - looker.server_s, looker.server_s, looker.asked


class _Looker:
    """Asks every two seconds, as an open page does, and reads what the server has used so far."""

    def __init__(self) -> None:
        self.server_s, self.asked = 0.0, 0

    def start(self, address: str) -> None:
        threading.Thread(target=self._look, args=(address,), daemon=True).start()

    def _look(self, address: str) -> None:
        port = int(address.split(":")[2].split("/")[0])
        server = next(
            each.pid for each in psutil.net_connections() if each.laddr and each.laddr.port == port and each.pid
        )
        rows = json.load(urllib.request.urlopen(f"{address}state.json"))["rows"]
        key = re.findall(r"runs/(\w+)/", rows)[0]
        seen = ""
        while True:
            try:
                answer = json.load(urllib.request.urlopen(f"{address}runs/{key}/state.json?seen={seen}"))
                times = psutil.Process(server).cpu_times()
            except (OSError, psutil.NoSuchProcess):
                return
            seen, self.asked, self.server_s = answer["version"], self.asked + 1, times.user + times.system
            time.sleep(2)


if __name__ == "__main__":
    main()
