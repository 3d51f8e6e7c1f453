"""Is the documentation whole? Each page has its place on the site, both languages say the same, and the site builds."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from commands_page import ALONE, PAGE, kinds, page
from documentation import ONLY_ENGLISH, ROOT, Plan, SiteError, build, copy_pages, linked, read_plan, spaced

from peakmark.settings.description import describe

HEADING = re.compile(r"^(#+) |^\*\*[^*]+\*\*$", re.MULTILINE)
CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def test_the_page_of_commands_is_made_from_the_declarations():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tools/commands_page.py --write"


# --- commands ---------------------------------------------------------------------------------------------------------

ALL_PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TAKES_SETTINGS_OF_TRAIN = {"resume", "tune", "seeds", "folds"}


def slips_in(line: str) -> list[str]:
    """What in a command of a page is no command, and no setting of it."""
    words = [word for word in shlex.split(line, comments=True) if word not in "[]"]
    name = words[1]
    if name.startswith("-"):
        return []
    kind = kinds().get(name)
    if kind is None:
        return [] if name in ALONE else [name]
    known = {description.name for description in describe(kind).values()} | {"model", "resume", "cfg"}
    if name in ("predict", "track"):
        known.add("source")  # what is looked at is no setting of the model's
    if name in TAKES_SETTINGS_OF_TRAIN:
        known |= describe(kinds()["train"]).keys()
    keys = [word.partition("=")[0] for word in words[2:] if "=" in word and not word.startswith("-")]
    return [key for key in keys if key not in known]


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_commands_on_the_pages_and_their_settings_are_there(page):
    lines = [
        line
        for kind, code in CODE.findall(page.read_text(encoding="utf-8"))
        if kind == "bash"
        for line in code.splitlines()
    ]
    slips = {line: found for line in lines if line.startswith("peakmark ") and (found := slips_in(line))}
    assert not slips


def test_a_slip_in_a_command_is_seen():
    assert slips_in("peakmark train data=a.yaml epoch=3  # epochs=") == ["epoch"]
    assert slips_in("peakmark tran data=a.yaml") == ["tran"]
    assert not slips_in("peakmark tune data=a.yaml trials=3 lr0=0.1 --json")


# --- two languages ----------------------------------------------------------------------------------------------------


def outline(text: str) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    """What two languages of a page have in common: the depth of its headings, its code without comments, its links."""
    code = [(kind, re.sub(r" +# .*", "", lines)) for kind, lines in CODE.findall(text)]
    prose = CODE.sub("", text)
    links = [link.replace(".zh-CN.md", ".md") for link in LINK.findall(prose)]
    return [match[1] or "**" for match in HEADING.finditer(prose)], code, links


@pytest.mark.parametrize("english", ["README.md", "docs/tutorial.md"])
def test_the_chinese_page_has_the_headings_commands_and_links_of_the_english_one(english):
    chinese = ROOT / english.replace(".md", ".zh-CN.md")
    ours, theirs = (outline(path.read_text(encoding="utf-8")) for path in (ROOT / english, chinese))
    for part, one, other in zip(("headings", "code", "links"), ours, theirs, strict=True):
        assert one == other, f"{chinese.name}: its {part} are not those of {english}"


@pytest.mark.parametrize(
    "change", [("epochs=100", "epochs=90"), ("## ", "### "), ("audit.md", "report.md")], ids=lambda change: change[0]
)
def test_a_page_that_lags_behind_is_noticed(change):
    old, new = change
    text = (ROOT / "docs/tutorial.zh-CN.md").read_text(encoding="utf-8")
    assert outline(text.replace(old, new, 1)) != outline(text)


# --- the site ---------------------------------------------------------------------------------------------------------

PLAN = Plan("P", ({"en": "A", "zh": "B", "pages": ["README.md", "docs/one.md", "CONTRIBUTING.md"]},))


@pytest.mark.parametrize(
    ("source", "link", "there"),
    [
        ("README.md", "docs/one.md#how", "one.md#how"),
        ("docs/one.md", "../CONTRIBUTING.md", "contributing.md"),
        ("docs/one.md", "../README.md#peakmark", "index.md#peakmark"),
        ("README.zh-CN.md", "docs/one.zh-CN.md", "one.md"),
        ("README.md", "docs/images/demo.jpg", "images/demo.jpg"),
        ("docs/one.md", "images/demo.jpg", "images/demo.jpg"),
        ("docs/one.md", "https://arxiv.org/abs/1", "https://arxiv.org/abs/1"),
        ("docs/one.md", "#how", "#how"),
    ],
)
def test_a_link_leads_to_where_the_page_lies_on_the_site(source, link, there):
    assert linked(f"See [this]({link}).", source, PLAN) == f"See [this]({there})."


def test_lists_tables_and_code_get_a_blank_line_around_them_and_code_stays_as_it_is():
    code = "```bash\nls\n- a\n```"
    text = f"Text:\n- a\n  more\n- b\n\nText:\n{code}\n{code}\n| a |\n|---|\nEnd"
    assert spaced(text) == f"Text:\n\n- a\n  more\n- b\n\nText:\n\n{code}\n\n{code}\n\n| a |\n|---|\nEnd\n"


@pytest.fixture
def small_site(tmp_path):
    """A repository of three pages; one of them in Chinese as well."""
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (root / "README.md").write_text("# P\n[中文](README.zh-CN.md) [one](docs/one.md#how)\n")
    (root / "README.zh-CN.md").write_text("# P\n[English](README.md) [一](docs/one.md#how)\n")
    (root / "docs/one.md").write_text("# One\nText\n\n## How\n[home](../README.md)\n")
    (root / "docs/site.yaml").write_text("name: P\nsections: [{en: A, zh: B, pages: [README.md, docs/one.md]}]\n")
    return root


def test_a_page_in_english_alone_says_so_on_the_chinese_site(small_site, tmp_path):
    copy_pages(read_plan(small_site), "zh", tmp_path / "zh", small_site)
    copy_pages(read_plan(small_site), "en", tmp_path / "en", small_site)
    assert ONLY_ENGLISH in (tmp_path / "zh/one.md").read_text()
    assert (tmp_path / "zh/index.md").read_text() == "# P\n [一](one.md#how)\n"
    assert ONLY_ENGLISH not in (tmp_path / "en/one.md").read_text()


def test_a_page_without_a_place_and_a_place_without_a_page_are_refused(small_site):
    (small_site / "docs/two.md").write_text("# Two\n")
    with pytest.raises(SiteError, match=r"names no section for docs/two\.md"):
        read_plan(small_site)
    (small_site / "docs/two.md").unlink()
    (small_site / "docs/one.md").unlink()
    with pytest.raises(SiteError, match=r"pages that are not there: docs/one\.md"):
        read_plan(small_site)


def test_every_page_has_its_place_and_every_file_it_links_to_is_there(tmp_path):
    for language in ("en", "zh"):
        copy_pages(read_plan(), language, tmp_path / language)


@pytest.mark.slow
def test_a_link_that_leads_nowhere_ends_the_build(small_site, tmp_path):
    pytest.importorskip("zensical", reason="pip install '.[docs]'")
    build(tmp_path / "site", tmp_path / "work", small_site)
    assert "hreflang" in (tmp_path / "site/index.html").read_text()
    text = (small_site / "README.md").read_text()
    (small_site / "README.md").write_text(text.replace("#how", "#why"))
    with pytest.raises(SiteError, match="anchor does not exist"):
        build(tmp_path / "site", tmp_path / "work", small_site)


@pytest.mark.slow
def test_the_site_builds_in_both_languages_and_asks_no_other_host_for_its_looks(tmp_path):
    pytest.importorskip("zensical", reason="pip install '.[docs]'")
    site = tmp_path / "site"
    build(site, tmp_path / "work")
    pages = list(site.rglob("*.html"))
    assert len(pages) >= 2 * len(read_plan().pages)
    assert "本页尚无中文版" in (site / "zh/audit/index.html").read_text()
    assert "把握" in (site / "zh/tutorial/index.html").read_text()
    for html in pages:
        text = html.read_text()
        paragraphs = [re.sub(r"<[^>]+>", "", found) for found in re.findall(r"<p>(.*?)</p>", text, re.DOTALL)]
        assert not [found for found in paragraphs if re.search(r"^(\||- |```)", found, re.MULTILINE)], html
        assert not re.search(r'(?:src|rel="stylesheet"\s+href)="https?://', text), html
    shutil.rmtree(site)
