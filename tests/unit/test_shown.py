"""Names that others chose are shown everywhere, and obeyed nowhere."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text

from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Origin
from peakmark.deploy.results import Results
from peakmark.deploy.saving import open_saver
from peakmark.nouns.images import Detections
from peakmark.report.pages.audit_page import write_audit_page
from peakmark.report.pictures.style import new_figure, save_figure
from peakmark.report.terminal.terminal import Terminal
from peakmark.shown import as_cell, as_shown

HALF = b"caf\xe9".decode("utf-8", "surrogateescape")
HOSTILE = f"a\x1b[2J\x1b]0;title\x07\r\x00\x9b\u202e{HALF}"


def test_what_a_terminal_would_obey_is_written_out():
    shown = as_shown(HOSTILE)
    assert shown == "a\\u001b[2J\\u001b]0;title\\u0007\\u000d\\u0000\\u009b\\u202ecaf\\udce9"
    assert json.loads(as_shown(json.dumps(HOSTILE, ensure_ascii=False))) == HOSTILE


@pytest.mark.parametrize("name", ["Straße", "猫", "👩‍🚀", "كلب", "a \\u001b b"])
def test_ordinary_names_stay_as_they_are(name: str):
    assert as_shown(name) == name


def test_line_ends_stand_where_lines_are_meant():
    assert as_shown("a\nb\r") == "a\\u000ab\\u000d"
    assert as_shown("a\nb\r", lines=True) == "a\nb\\u000d"


def test_a_terminal_gets_no_control_characters_of_a_name_but_keeps_its_own():
    paper = io.StringIO()
    terminal = Terminal(file=paper, force_terminal=True, color_system="standard", width=200)
    terminal.print(Text.assemble((HOSTILE, "bold red")))
    written = paper.getvalue()
    assert written.startswith("\x1b[1;31m"), "colours of ours go through"
    assert as_shown(HOSTILE).replace("\\u0007\\u000d", "") in written, "rich takes a few out itself"
    written.encode("utf-8")


def test_a_spreadsheet_takes_no_name_for_a_formula():
    for name in ("=1+1", "+1", "-1", "@x", "\t=1"):
        assert as_cell(name).startswith("'")
    assert as_cell("cat-1") == "cat-1"


def test_hostile_class_names_are_drawn():
    # In a process of its own: on a lone surrogate OpenCV ends it, and no test could say so.
    script = (
        "import numpy as np\nfrom peakmark.drawing.boxes import contact_sheet, draw_boxes\n"
        f"name = {HOSTILE!r}\n"
        "image = np.zeros((80, 120, 3), np.uint8)\n"
        "drawn = draw_boxes(image, np.array([[10., 30, 60, 70]]), np.array([0]), [name])\n"
        "contact_sheet([drawn], [name], columns=1, cell_px=100)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_hostile_names_stand_in_figures_and_pages(tmp_path: Path):
    figure = new_figure(2, 2, HOSTILE)
    save_figure(figure, tmp_path / "a.png")
    write_audit_page(tmp_path, HOSTILE, (), {}, (), 1)
    assert f">{as_shown(HOSTILE)}<" in (tmp_path / "audit.html").read_text("utf-8")


def test_tables_of_hostile_names_can_be_read(tmp_path: Path):
    names = {0: HOSTILE, 1: '=HYPERLINK("x")'}
    detections = Detections(np.ones((2, 4), np.float32), np.ones(2, np.float32), np.array([0, 1]))
    origin = Origin(f"{HALF}.jpg", Path(f"{HALF}.jpg"), 0, 1)
    result = Results(np.zeros((8, 8, 3), np.uint8), Boxes.from_detections(detections, (8, 8)), names, origin, {})
    with open_saver(tmp_path, observer=lambda _: None, pictures=False, json=True, csv=True) as saver:
        saver.add(result)
    (found,) = json.loads((tmp_path / "predictions.json").read_text(encoding="utf-8"))
    assert found["image"] == f"{HALF}.jpg"
    assert found["detections"][0]["name"] == HOSTILE
    table = (tmp_path / "predictions.csv").read_text(encoding="utf-8")
    assert "'=HYPERLINK" in table
    assert "caf\\udce9.jpg" in table
    result.to_json().encode("utf-8")
    result.to_csv().encode("utf-8")
