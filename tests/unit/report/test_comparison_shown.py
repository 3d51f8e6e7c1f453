"""Is a comparison shown whole, in a terminal, on a page and in curves, whatever the runs are called?"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console
from tests.made_comparison import LEAD, comparison, run

from peakmark.nouns.run import History
from peakmark.record.comparison import Comparison, Difference, Measured, SeedGroup
from peakmark.report.pages.comparison_curves import RunCurves, curves_of_runs
from peakmark.report.pages.comparison_page import write_comparison_page
from peakmark.report.terminal.comparison_table import by_value, print_comparison

BEHIND = {"fitness": LEAD, "map50_95": LEAD, "map50": LEAD, "precision": LEAD, "recall": LEAD}


@pytest.fixture
def two() -> Comparison:
    best = run("b", behind=dict.fromkeys(BEHIND, Measured(0, 0, 0, 0)), tied=True)
    return comparison(best, run("<a>", behind=BEHIND, tied=False, notes=("It has not ended.",)))


def printed(shown: Comparison, width: int = 80) -> str:
    console = Console(width=width, no_color=True, record=True, file=io.StringIO())
    print_comparison(console, shown)
    return console.export_text()


def shown_in(page: Path) -> str:
    """The page without its scripts and catalogues, in which every word stands."""
    return page.read_text().partition("<script")[0]


def test_a_terminal_of_80_columns_shows_every_number(two):
    lines = printed(two).splitlines()
    assert lines[0].split() == ["run", "epoch", "mAP50-95", "mAP50", "P", "R", "behind", "by"]
    assert lines[1].split() == ["b", "29", "0.4500", "0.7000", "0.8000", "0.6000", "best"]
    assert lines[2].split() == ["<a>", "29", "0.4500", "0.7000", "0.8000", "0.6000", "0.0210", "±", "0.0060", "behind"]
    text = printed(two)
    assert "<a>: It has not ended." in text
    assert "lr0  0.01 (default): b  ·  0.02: <a>" in text
    assert text.index("lr0") < text.index("Other settings that differ") < text.index("workers") < text.index("torch")
    assert "the same, bit for bit" in text
    assert text.index("A note.") < text.index("b is ahead of <a>")


def test_a_tie_and_the_unknown_have_their_words_and_no_winner_is_shown_where_there_is_none(two):
    tied = dataclasses.replace(two.runs[1], tied=True)
    unknown = dataclasses.replace(two.runs[1], name="c", tied=None, behind={})
    lines = printed(dataclasses.replace(two, runs=(two.runs[0], tied, unknown))).splitlines()
    assert [line.split()[-1] for line in lines[1:4]] == ["best", "tied", "unknown"]
    refused = printed(comparison(run("a"), run("b"), ranked=False, text="These runs are not ranked."))
    assert "best" not in refused
    assert refused.rstrip().endswith("These runs are not ranked.")


def test_a_fitness_of_its_own_gets_a_column(two):
    lines = printed(dataclasses.replace(two, fitness="classic")).splitlines()
    assert "fitness" in lines[0]
    assert "fitness" not in printed(two).splitlines()[0]


def test_values_are_gathered_and_only_what_all_left_alone_is_called_the_default():
    difference = Difference("lr0", ("1", "2", "1"), (True, False, False))
    assert list(by_value(difference, "abc")) == [("1", "a, c"), ("2", "b")]


def test_groups_of_seeds_are_told_where_there_are_several(two):
    groups = (
        SeedGroup("lr0=0.01", ("b", "c"), 0.45, 0.01),
        SeedGroup("lr0=0.02", ("<a>", "d"), 0.43, 0.02, Measured(0.02, 0.005, -0.001, 0.041)),
    )
    text = printed(dataclasses.replace(two, seeds=groups), width=200)
    assert "2 seeds of lr0=0.01: fitness 0.4500, between seeds ± 0.0100." in text
    assert "behind by 0.0200 ± 0.0050 (95 % interval over seeds -0.0010 to 0.0410)" in text


def test_the_page_is_whole_and_escapes_names(two, make_history, tmp_path):
    groups = (SeedGroup("lr0=0.01", ("b", "c"), 0.45, 0.01), SeedGroup("lr0=0.02", ("<a>", "d"), 0.43, 0.02, LEAD))
    curves = [RunCurves("b", make_history(30), 28), RunCurves("<a>", make_history(12), 11)]
    write_comparison_page(tmp_path, dataclasses.replace(two, seeds=groups), curves)
    page = shown_in(tmp_path / "compare.html")
    assert "<a>" not in page
    assert "<dog>" not in page
    assert "b is ahead of &lt;a&gt; by 0.0210" in page
    assert "0.0210 ± 0.0060<br>" in page
    assert "0.0090 to 0.0330" in page
    for words in ("Behind b by", "lr0", "default", "torch", "AP50-95", "439843984398", "A note.", "It has not ended."):
        assert words in page
    for seeds in ("lr0=0.01", "lr0=0.02", "0.4500", "0.0100", "0.0200"):
        assert seeds in page
    assert [path.name for path in tmp_path.iterdir()] == ["compare.html"]


def test_the_page_of_runs_without_numbers_or_of_other_classes_has_what_there_is(tmp_path):
    empty = run("a", best_epoch=None, fitness=None, metrics={}, per_class={}, measured={})
    shown = comparison(empty, run("b", classes=("cow",)), run("c"), ranked=False, settings=(), surroundings=())
    write_comparison_page(tmp_path, shown, [RunCurves(name, History(), None) for name in "abc"])
    page = shown_in(tmp_path / "compare.html")
    for section in ('id="classes"', "Behind", 'data-t="compare.seeds"'):
        assert section not in page
    assert "No setting differs, nor data, machine or libraries." in page


def test_curves_of_runs_of_unequal_length_stand_on_the_same_epochs(make_history):
    long, short = make_history(12, val_period=3), make_history(5)
    drawn = curves_of_runs([RunCurves("long", long, 11), RunCurves("short", short, None)])
    assert drawn["epochs"] == list(range(1, 13))
    assert drawn["names"] == ["long", "short"]
    assert drawn["best"] == [12, None]
    charts = {chart["key"]: chart["values"] for chart in drawn["charts"]}
    assert list(charts) == ["mAP50-95", "mAP50", "precision", "recall", "loss.train_sum", "loss.val_sum"]
    for key, name in (("mAP50-95", "map50_95"), ("recall", "recall")):
        assert charts[key] == [
            [record.metrics[name] if record.metrics else None for record in long.records],
            [record.metrics[name] for record in short.records] + [None] * 7,
        ]
    assert charts["loss.train_sum"][0] == [sum(record.train.values()) for record in long.records]
    assert charts["loss.val_sum"][1][4:] == [sum(short.records[4].validation.values())] + [None] * 7


def test_numbers_that_no_run_has_get_no_chart(make_history):
    curves = [RunCurves("a", make_history(3, validated=False), None), RunCurves("b", History(), None)]
    drawn = curves_of_runs(curves)
    assert [chart["key"] for chart in drawn["charts"]] == ["loss.train_sum"]
    assert drawn["charts"][0]["values"][1] == [None] * 3
    assert curves_of_runs(curves[1:])["charts"] == []
