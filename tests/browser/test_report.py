"""Does every control of report.html do what it says, in Chromium? A sample runs always, the rest with `make slow`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.browser.conftest import FILE, NAMES, eventually

from peakmark.report.pages.page import write_page

slow = pytest.mark.slow


def data_of(page: Any) -> Any:
    return json.loads(page.locator("#data").text_content())


def numbers(page: Any) -> Any:
    return page.locator("#confidence-numbers b").all_inner_texts()


def shown(page: Any) -> Any:
    return page.locator("#gallery figure").count()


def test_all_is_drawn_and_names_are_shown_as_they_are(open_page, made_run):
    page = open_page(made_run / "report.html")
    assert page.locator("h1").inner_text() == "made <run>"
    assert page.locator("#charts .uplot").count() == 6
    assert sorted(page.locator("#classes tbody td:first-child").all_inner_texts()) == sorted(NAMES)
    assert page.locator("#confidence-class option").all_inner_texts() == ["all classes", *NAMES]
    assert set(page.locator("#confusion-matrix tbody th").all_text_contents()) == {*NAMES, "nothing"}
    assert FILE in page.locator("#gallery").text_content()
    assert page.locator("#gallery img[src=x]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # A rate of 0.0005 is no 0.001.
    assert page.evaluate("[0, 0.0005, 0.1 + 0.2, 15000, null].map(tick)") == ["0", "0.0005", "0.3", "15000", ""]


def test_the_confidence_that_is_dragged_changes_the_numbers(open_page, made_run):
    page = open_page(made_run / "report.html")
    at = data_of(page)["at"]
    slider = page.locator("#confidence-slider")
    summary = json.loads((made_run / "summary.json").read_text())["best"]["metrics"]
    best = numbers(page)
    assert best[:3] == [f"{summary[name]:.4f}" for name in ("precision", "recall", "f1")]
    slider.fill("10")
    right, detected = (sum(row[10] for row in at[name]) for name in ("right", "detected"))
    truths = sum(at["truths"])
    assert [text.replace(",", "") for text in numbers(page)[3:]] == [
        str(right), str(detected - right), str(truths - right),
    ]  # fmt: skip
    assert page.locator("#confidence-value").inner_text() == f"{at['confidences'][10]:.3f}"
    page.locator("#confidence-class").select_option(label=NAMES[2])
    assert numbers(page)[1] == f"{at['right'][2][10] / at['truths'][2]:.4f}"
    page.locator("#confidence-best").click()
    page.locator("#confidence-class").select_option("all")
    assert numbers(page) == best


def test_it_speaks_chinese_and_darkens(open_page, made_run):
    page = open_page(made_run / "report.html")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#language").select_option("zh")
    page.locator("#theme").select_option("dark")
    assert page.evaluate("document.documentElement.lang") == "zh"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert page.locator("#mistakes h2").inner_text() == "错误"
    assert "置信度" in page.locator("#confidence-chart .u-title + *, #confidence-chart").first.inner_text()
    page.reload()
    assert page.locator("#language").input_value() == "zh", "what was chosen is remembered"
    assert page.locator("#theme").input_value() == "dark"


@slow
def test_the_language_is_the_browsers_and_the_theme_the_systems(open_page, made_run):
    page = open_page(made_run / "report.html", locale="zh-CN", color_scheme="dark")
    assert page.locator("#language").input_value() == "zh"
    red = int(page.evaluate("getComputedStyle(document.body).backgroundColor").strip("rgb()").split(",")[0])
    assert red < 60


@slow
def test_charts_zoom_together_and_show_values(open_page, made_run):
    page = open_page(made_run / "report.html")

    def epochs_shown() -> list[tuple[float, float]]:
        page.wait_for_timeout(80)
        return [tuple(each) for each in page.evaluate(
            "curveCharts.map(({chart}) => [chart.scales.x.min, chart.scales.x.max])")]  # fmt: skip

    assert set(epochs_shown()) == {(1, 40)}
    page.locator("[data-zoom=in]").click()
    zoomed = set(epochs_shown())
    assert zoomed == {(10.75, 30.25)}
    page.locator("[data-zoom=right]").click()
    assert set(epochs_shown()) == {(20.5, 40)}
    page.locator("[data-zoom=left]").click()
    assert set(epochs_shown()) == zoomed
    page.locator("[data-zoom=out]").click()
    assert set(epochs_shown()) == {(1, 40)}

    over = page.locator("#charts .u-over").first
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=4)
    page.mouse.up()
    (dragged,) = set(epochs_shown())
    assert dragged == pytest.approx((1 + 39 * 0.25, 1 + 39 * 0.5), abs=0.5)
    legend = page.locator("#charts .u-legend").first.inner_text()
    fitness = data_of(page)["curves"]["fitness"]
    assert any(f"{value:.4f}" in legend for value in fitness), "the values where the pointer is"
    page.locator("#theme").select_option("dark")
    assert set(epochs_shown()) == {dragged}, "another theme leaves the epochs that are looked at"
    page.locator("[data-zoom=all]").click()
    assert set(epochs_shown()) == {(1, 40)}


@slow
def test_a_table_sorts_by_what_is_clicked(open_page, made_run):
    page = open_page(made_run / "report.html")
    recall = page.locator("#classes th button", has_text="recall")

    def column() -> list[float]:
        return [float(text) for text in page.locator("#classes tbody td:nth-child(5)").all_inner_texts()]

    recall.click()
    assert column() == sorted(column(), reverse=True)
    recall.press("Enter")
    assert column() == sorted(column())
    assert page.locator("#classes th[aria-sort=ascending]").count() == 1
    page.locator("#classes th button", has_text="class").click()
    names = page.locator("#classes tbody td:first-child").all_inner_texts()
    assert names[-2:] in (["nut", "螺丝 👩‍🚀"], ["螺丝 👩‍🚀", "nut"]) or names == sorted(names)


@slow
def test_a_cell_of_the_matrix_opens_the_images_behind_it(open_page, made_run):
    page = open_page(made_run / "report.html")
    gallery = data_of(page)["gallery"]
    at = data_of(page)["at"]
    cells = [
        (count, found, true)
        for found, row in enumerate(at["confusion"])
        for true, count in enumerate(row)
        if count and found != true and max(found, true) < len(NAMES)
    ]
    count, found, true = max(cells)
    behind = [
        image
        for image in gallery["images"]
        if any(
            each[4] == found and each[5] >= gallery["confidence"] and each[8] >= 0 and image["classes"][each[8]] == true
            for each in image["found"]
        )
    ]
    cell = page.locator(f"#confusion-matrix tbody tr:nth-child({found + 1}) td:nth-child({true + 2}) button")
    assert cell.text_content() == str(count)
    cell.click()
    assert shown(page) == min(len(behind), 24)
    assert page.locator("#gallery-cell").is_visible()
    assert str(count) in page.locator("#gallery-cell-says").inner_text()
    page.locator("#gallery-cell-off").click()
    assert not page.locator("#gallery-cell").is_visible()
    page.locator("#confusion-wrong").check()
    assert page.locator("#confusion-matrix tbody tr:first-child td:nth-child(2) button").count() == 0
    page.locator("#confusion-shares").check()
    assert float(cell.text_content()) <= 1
    page.locator("#confusion-top button").first.click()
    assert page.locator("#gallery-cell").is_visible()


@slow
def test_images_are_filtered_sorted_and_counted_at_the_confidence(open_page, made_run):
    page = open_page(made_run / "report.html")
    gallery = data_of(page)["gallery"]
    assert shown(page) == 24
    page.locator("#gallery-more").click()
    assert shown(page) == 48
    first = page.locator("#gallery figcaption").first.text_content()
    assert f"missed: {gallery['images'][0]['counts']['missed']}" in first
    page.locator("#gallery-kind").select_option("doubled")
    doubled = [image for image in gallery["images"] if image["counts"].get("doubled")]
    assert page.locator("#gallery-count").inner_text().startswith(f"images: {len(doubled)},")
    counts = [
        int(text.split("doubled: ")[1].split()[0]) for text in page.locator("#gallery figcaption").all_text_contents()
    ]
    assert counts == sorted(counts, reverse=True)
    page.locator("#gallery-class").select_option("0")
    fewer = shown(page)
    assert 0 < fewer < len(doubled)
    page.locator("#gallery-class").select_option("all")
    page.locator("#gallery-slider").fill("0.999")
    eventually(page, "document.querySelectorAll('#gallery figure').length === 0")
    page.locator("#gallery-kind").select_option("missed")
    eventually(page, "document.querySelectorAll('#gallery figure').length > 0")
    assert page.locator("#gallery .box:not(.dashed)").count() == 0
    assert page.locator("#gallery .box.missed").count() > 0
    page.locator("#gallery-truths").uncheck()
    eventually(page, "document.querySelectorAll('#gallery .box').length === 0")
    page.locator("#breakdown button", has_text="background").click()
    assert page.locator("#gallery-kind").input_value() == "background"


@slow
def test_an_image_is_looked_at_with_the_keyboard(open_page, made_run):
    page = open_page(made_run / "report.html")
    page.locator("#gallery button").first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("#look")
    assert dialog.is_visible()
    image = data_of(page)["gallery"]["images"][0]
    assert page.locator("#look-title").inner_text() == image["file"]
    assert page.locator("#look-truths .box").count() == len(image["truths"])
    drawn = page.locator("#look-found .box").count()
    page.locator("#look-slider").fill("0.95")
    assert page.locator("#look-found .box").count() < drawn
    left, places = page.evaluate("""() => {
        const box = document.querySelector("#look-truths .box"), frame = box.parentElement;
        return [box.getBoundingClientRect().left - frame.getBoundingClientRect().left, frame.clientWidth];
    }""")
    assert left == pytest.approx(image["truths"][0][0] / 10000 * places, abs=1)
    before = page.locator("#look-says").inner_text(), page.locator("#look-title").inner_text()
    page.locator("#look-close").focus()
    page.keyboard.press("ArrowRight")
    assert (page.locator("#look-says").inner_text(), page.locator("#look-title").inner_text()) != before
    page.locator("#look-before").click()
    assert page.locator("#look-title").inner_text() == before[1]
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


@slow
def test_settings_that_are_as_by_default_are_shown_when_asked_for(open_page, made_run):
    page = open_page(made_run / "report.html")
    default = page.locator("#settings-table tr.as-default").first
    assert not default.is_visible()
    page.locator("#all-settings").check()
    assert default.is_visible()


@slow
@pytest.mark.parametrize("looks", [{"viewport": {"width": 360, "height": 740}}, {"color_scheme": "dark"}])
def test_a_phone_scrolls_down_only(open_page, made_run, looks):
    page = open_page(made_run / "report.html", **looks)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#gallery button").first.click()
    assert page.evaluate("document.querySelector('#look').getBoundingClientRect().right <= innerWidth")


@slow
def test_pages_of_runs_that_have_little_are_drawn_too(open_page, made_run, tmp_path):
    kept = {"summary.json": False, "results.csv": True, "gallery.json": True, "evidence": True}
    for number, missing in enumerate([*kept, None]):
        folder = tmp_path / str(number)
        shutil.copytree(made_run, folder)
        if missing is None:
            shutil.rmtree(folder)
            folder.mkdir()
        elif (folder / missing).is_dir():
            shutil.rmtree(folder / missing)
        else:
            (folder / missing).unlink()
        page = open_page(Path(write_page(folder)))
        assert page.locator("h1").inner_text() == str(number)
