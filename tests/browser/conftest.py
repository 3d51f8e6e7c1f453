"""A Chromium of this machine, and pages of made runs in it. Without one these tests are skipped."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peakmark.data.audit.findings import Example, finding
from peakmark.report.pages.audit_page import write_audit_page
from peakmark.report.pages.comparison_curves import RunCurves
from peakmark.report.pages.comparison_page import write_comparison_page
from peakmark.report.pages.page import write_page
from peakmark.report.pages.validation_page import write_validation_page

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from made_runs import MadeRun, make_history, make_validation, write_made_run
from tests.made_comparison import comparison, run

NAMES = ("bolt", "nut", "<b>washer</b> & co", "螺丝 👩‍🚀")
FILE = "<img src=x onerror=alert(1)> 🖼 {{ 7 * 7 }}.jpg"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install '.[dev]'")
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    path = os.environ.get("CHROMIUM") or next((path for path in found if path), None)
    if path is None:
        pytest.skip("no Chromium is found: install it (Debian: apt-get install chromium) or set CHROMIUM=PATH")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 epochs on 60 validation images of four classes. Nothing may be written into it but its page."""
    folder = tmp_path_factory.mktemp("runs") / "made <run>"
    write_made_run(folder, MadeRun(NAMES, epochs=40, images=60, noise_per_image=30, files=[FILE]))
    write_page(folder)
    return folder


@pytest.fixture(scope="session")
def made_val(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a validation on 40 images of four classes."""
    folder = tmp_path_factory.mktemp("val")
    made = MadeRun(NAMES, epochs=0, images=40, noise_per_image=30, files=[FILE])
    validated, gallery = make_validation(folder, made, np.random.default_rng(1))
    return write_validation_page(folder, validated, gallery, model="<best>.pt", data="set.yaml", split="val")


@pytest.fixture(scope="session")
def made_comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a comparison of eight runs, more than there are colours; the first has 20 epochs, the others 12."""
    folder = tmp_path_factory.mktemp("compare")
    metrics = {"map50_95": 0.4, "map50": 0.6, "precision": 0.7, "recall": 0.5}
    names = [*NAMES, "e", "f", "g", "h"]
    curves = []
    for number, name in enumerate(names):
        made = MadeRun(NAMES, epochs=12 if number else 20, images=0)
        history = make_history(made, 9, metrics, np.random.default_rng(number))
        curves.append(RunCurves(name, history, 9))
    write_comparison_page(folder, comparison(*map(run, names)), curves)
    return folder / "compare.html"


@pytest.fixture(scope="session")
def made_audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    findings = [
        finding("bad label line", "high", "9 <lines>.", "Fix <them>.", [Example(FILE)] * 60, 260),
        finding("few objects", "low", "Few.", "More.", [Example(FILE)]),
    ]
    write_audit_page(folder, "a <set>.yaml", findings, {"train": (3, 5)}, NAMES, 1)
    return folder / "audit.html"


Open = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Open]:
    """Opens an address; afterwards nothing may stand in the console as an error, nor be asked of another host."""
    contexts: list[Any] = []
    said: list[str] = []
    asked: list[str] = []
    home: list[str] = []

    def open_it(address: str | Path, **looks: Any) -> Any:
        url = address.as_uri() if isinstance(address, Path) else address
        home.append(url if url.startswith("file:") else url.split("/", 3)[2])
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 800}, "locale": "en-GB", **looks})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda told: said.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert said == []
    others = [url for url in asked if not url.startswith("data:") and not any(own in url for own in home)]
    assert others == []


def eventually(page: Any, script: str) -> None:
    """Waits until a script is true. Playwright's own waiting evaluates text in the page, which its policy forbids."""
    for _ in range(100):
        if page.evaluate(script):
            return
        page.wait_for_timeout(60)
    raise AssertionError(f"never came true: {script}")
