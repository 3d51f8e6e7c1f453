"""Do the pages of a comparison, an audit and a validation work in Chromium? One test of each runs always."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.browser.conftest import FILE, NAMES

slow = pytest.mark.slow


def data_of(page: Any) -> Any:
    return json.loads(page.locator("#data").text_content())


def drawn_runs(page: Any) -> list[list[bool]]:
    """Of each chart, which runs it shows; its first series are the epochs."""
    return list(page.evaluate("curveCharts.map(({chart}) => chart.series.slice(1).map((each) => each.show))"))


def test_a_run_is_hidden_in_all_charts_and_stays_so_in_another_language(open_page, made_comparison):
    page = open_page(made_comparison)
    assert page.locator("#runs label").all_text_contents() == [*NAMES, "e", "f", "g", "h"]
    assert page.locator("#charts .uplot").count() == 6
    assert drawn_runs(page) == [[True] * 8] * 6
    page.locator("#runs input").nth(2).uncheck()
    hidden = [[number != 2 for number in range(8)]] * 6
    assert drawn_runs(page) == hidden
    page.locator("#language").select_option("zh")
    assert page.locator("h1").inner_text() == "比较 8 个训练"
    assert drawn_runs(page) == hidden
    page.locator("#runs input").nth(2).check()
    assert drawn_runs(page) == [[True] * 8] * 6
    page.locator("#charts .uplot").nth(3).locator(".u-legend .u-marker").nth(1).click()
    assert drawn_runs(page) == [[False] + [True] * 7] * 6, "by the legend of one chart"
    assert not page.locator("#runs input").first.is_checked()


def test_a_validation_shows_its_numbers_and_the_images_behind_a_cell(open_page, made_val):
    page = open_page(made_val)
    large = page.locator("#facts .number b").all_inner_texts()
    assert large[3:] == page.locator("#confidence-numbers b").all_inner_texts()[:2], "precision and recall"
    page.locator("#confidence-slider").fill("10")
    assert page.locator("#confidence-numbers b").all_inner_texts()[:2] != large[3:]
    assert page.locator("#gallery figure").count() == 24
    assert FILE in page.locator("#gallery").text_content()
    page.locator("#confusion-top button").first.click()
    assert page.locator("#gallery-cell").is_visible()
    page.locator("#breakdown button", has_text="doubled").click()
    doubled = [image for image in data_of(page)["gallery"]["images"] if image["counts"].get("doubled")]
    assert page.locator("#gallery-count").inner_text().startswith(f"images: {len(doubled)},")


def test_an_audit_speaks_chinese_and_leaves_what_it_found_as_it_was_told(open_page, made_audit):
    page = open_page(made_audit, locale="zh-CN", color_scheme="dark")
    assert [text.split() for text in page.locator(".finding h2").all_inner_texts()] == [
        ["错误的标注行", "严重"],
        ["目标过少", "轻微"],
    ]
    assert "9 <lines>." in page.locator(".finding").first.inner_text()
    page.locator("#language").select_option("en")
    assert page.locator(".finding h2").first.inner_text().split() == ["bad", "label", "line", "high"]
    assert page.locator("nav a").all_inner_texts() == ["high 1", "low 1"]


@slow
def test_charts_of_a_comparison_zoom_together_and_mark_the_best_epochs(open_page, made_comparison):
    page = open_page(made_comparison)
    page.locator("[data-zoom=in]").click()
    page.wait_for_timeout(80)
    shown = page.evaluate("curveCharts.map(({chart}) => [chart.scales.x.min, chart.scales.x.max])")
    assert shown == [[5.75, 15.25]] * 6
    dots = page.evaluate("curveCharts[0].chart.series.slice(1).map((each) => each.points.filter())")
    assert dots == [[9]] * 8, "the tenth epoch"
    looks = page.evaluate("curveCharts[0].chart.series.slice(1).map((each) => [each.stroke(), each.dash])")
    assert len({json.dumps(each) for each in looks}) == 8, "no two runs look the same"


@slow
def test_tables_of_a_comparison_sort(open_page, made_comparison):
    page = open_page(made_comparison)
    page.locator("#numbers th button", has_text="run").click()
    names = page.locator("#numbers tbody td:first-child").all_inner_texts()
    assert [name for name in names if name.isascii() and name.isalpha()] == ["bolt", "e", "f", "g", "h", "nut"]
    page.locator("#numbers th button", has_text="run").click()
    assert page.locator("#numbers tbody td:first-child").all_inner_texts() == names[::-1]


@slow
@pytest.mark.parametrize("made", ["made_comparison", "made_audit", "made_val"])
@pytest.mark.parametrize("looks", [{"viewport": {"width": 360, "height": 740}}, {"color_scheme": "dark"}])
def test_a_phone_scrolls_down_only(open_page, made, looks, request):
    page = open_page(request.getfixturevalue(made), locale="zh-CN", **looks)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    red = int(page.evaluate("getComputedStyle(document.body).backgroundColor").strip("rgb()").split(",")[0])
    assert (red < 60) == ("color_scheme" in looks)
