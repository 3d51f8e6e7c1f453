"""Builds the documentation site, in English and in Chinese, from the pages as they lie in the repository.

usage: python tools/documentation.py [--to FOLDER]

English is built into FOLDER (build/site), Chinese into FOLDER/zh. docs/site.yaml says what is in it, in which order. A
link that leads nowhere, a page that no section names and any other warning end the build with exit code 1.

The pages are written for GitHub. Three things are changed in the copies that the site is made of: links lead to where
the pages lie on the site, lists and code get the blank lines around them that Zensical's Markdown needs, and on the
Chinese site a page that is there in English alone says so.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("en", "zh")
ONLY_ENGLISH = '!!! note "本页尚无中文版"\n    以下内容为英文。\n'
_LINK = re.compile(r"(\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?\)")
_OTHER_LANGUAGE = re.compile(r" ?\[(English|中文)\]\(README[^)]*\)")
"""The README's link to itself; the site has a menu for that."""
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_BEGINS_A_ROW = re.compile(r"(- |\d+\. |\|)")


class SiteError(Exception):
    """The site can't be built; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is on the site."""

    name: str
    sections: tuple[Mapping[str, Any], ...]

    @property
    def pages(self) -> tuple[str, ...]:
        """Their paths in the repository, in their order."""
        return tuple(page for section in self.sections for page in section["pages"])


def read_plan(root: Path = ROOT) -> Plan:
    """Reads docs/site.yaml. Raises SiteError where it and the pages in docs/ are not the same."""
    written = yaml.safe_load((root / "docs/site.yaml").read_text(encoding="utf-8"))
    plan = Plan(written["name"], tuple(written["sections"]))
    there = {f"docs/{path.name}" for path in (root / "docs").glob("*.md") if not path.name.endswith(".zh-CN.md")}
    named = set(plan.pages)
    if left_out := sorted(there - named):
        raise SiteError(f"docs/site.yaml names no section for {', '.join(left_out)}")
    if missing := sorted(page for page in named if not (root / page).is_file()):
        raise SiteError(f"docs/site.yaml names pages that are not there: {', '.join(missing)}")
    return plan


def place_of(page: str) -> str:
    """Where a page lies on the site: `docs/audit.md` is `audit.md`, the README comes first as `index.md`."""
    name = posixpath.basename(page).replace(".zh-CN.md", ".md")
    return "index.md" if name == "README.md" else name.lower()


def source_of(page: str, language: str, root: Path = ROOT) -> str:
    """The file that a page is made of in a language: its Chinese one, where there is one."""
    chinese = page.removesuffix(".md") + ".zh-CN.md"
    return chinese if language == "zh" and (root / chinese).is_file() else page


def linked(text: str, source: str, plan: Plan) -> str:
    """Gives the text with each link to a file of the repository turned to where that lies on the site."""

    def turned(match: re.Match[str]) -> str:
        before, target, anchor = match[1], match[2], match[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        page = path.replace(".zh-CN.md", ".md")
        place = (
            place_of(page) if page in plan.pages else posixpath.relpath(path, "docs" if path[:5] == "docs/" else ".")
        )
        return f"{before}{place}{anchor})"

    return _LINK.sub(turned, text)


def files_linked(text: str, source: str, plan: Plan) -> Iterator[str]:
    """The files of the repository that a page shows or hands out, pictures and notebooks say: they go along."""
    for match in _LINK.finditer(text):
        if "://" not in match[2] and not match[2].startswith("mailto:"):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
            if path.replace(".zh-CN.md", ".md") not in plan.pages:
                yield path


def spaced(text: str) -> str:
    """Puts a blank line around each piece of code, and before each list and table that follows a line of text.

    GitHub does without it; Python-Markdown, which Zensical uses, makes one paragraph of both.
    """
    written: list[str] = []
    is_code = code_ended = False
    for line in text.splitlines():
        fence = line.startswith("```")
        before = written[-1] if written else ""
        begins = fence or _BEGINS_A_ROW.match(line) is not None
        goes_on = not fence and (before.startswith(" ") or _BEGINS_A_ROW.match(before) is not None)
        if before and line and (code_ended or (begins and not goes_on and not is_code)):
            written.append("")
        written.append(line)
        code_ended = fence and is_code
        is_code = is_code != fence
    return "\n".join(written) + "\n"


def copy_pages(plan: Plan, language: str, to: Path, root: Path = ROOT) -> None:
    """Writes the pages of one language, ready for Zensical, with the files that they show, into a new folder."""
    for page in plan.pages:
        source = source_of(page, language, root)
        text = _OTHER_LANGUAGE.sub("", (root / source).read_text(encoding="utf-8"))
        for file in files_linked(text, source, plan):
            if not (root / file).is_file():
                raise SiteError(f"{source} links to {file}, which is not there")
            copy = to / (posixpath.relpath(file, "docs") if file.startswith("docs/") else file)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, copy)
        text = spaced(linked(text, source, plan))
        if language == "zh" and source == page:
            heading, _, rest = text.partition("\n")
            text = f"{heading}\n\n{ONLY_ENGLISH}\n{rest}"
        to.mkdir(parents=True, exist_ok=True)
        (to / place_of(page)).write_text(text, encoding="utf-8")


def configuration(plan: Plan, language: str) -> dict[str, Any]:
    """What Zensical is told, in the words of mkdocs.yml, which it reads."""
    up = {"en": ("./", "zh/"), "zh": ("../", "./")}[language]
    return {
        "site_name": plan.name,
        "docs_dir": "pages",
        "site_dir": "site",
        "nav": [{section[language]: [place_of(page) for page in section["pages"]]} for section in plan.sections],
        "theme": {
            "name": "material",
            "language": language,
            "font": False,  # or each reader's browser asks another host for it
            "features": ["navigation.sections", "navigation.footer", "content.code.copy", "search.highlight"],
            "palette": [
                {"media": f"(prefers-color-scheme: {scheme})", "scheme": name}
                for scheme, name in (("light", "default"), ("dark", "slate"))
            ],
        },
        "extra": {
            "alternate": [
                {"name": name, "lang": lang, "link": link}
                for name, lang, link in zip(("English", "中文"), LANGUAGES, up, strict=True)
            ]
        },
        "validation": {"invalid_links": True, "invalid_link_anchors": True},
    }


def build(to: Path, work: Path, root: Path = ROOT) -> None:
    """Builds both languages into `to`, from copies in `work`; what was in both is gone. Raises SiteError."""
    plan = read_plan(root)
    for folder in (to, work):
        shutil.rmtree(folder, ignore_errors=True)
    for language in LANGUAGES:
        folder = work / language
        copy_pages(plan, language, folder / "pages", root)
        settings = folder / "mkdocs.yml"
        settings.write_text(
            yaml.safe_dump(configuration(plan, language), allow_unicode=True, sort_keys=False), encoding="utf-8"
        )
        command = (sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(settings))
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        told = _COLOURS.sub("", ended.stdout + ended.stderr)
        # Zensical ends a strict build that found something with a traceback; its own findings stand before it.
        if ended.returncode or "No issues found" not in told:
            raise SiteError(told.partition("Traceback")[0].strip())
        shutil.move(folder / "site", to if language == "en" else to / language)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=ROOT / "build/site")
    to = parser.parse_args().to.resolve()
    try:
        build(to, to.with_name(f"{to.name}-pages"))
    except SiteError as error:
        sys.exit(str(error))
    print(f"{to / 'index.html'} (English) and {to / 'zh/index.html'} (Chinese)")


if __name__ == "__main__":
    main()
