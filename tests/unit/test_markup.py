"""Templates escape what they are given, ask for nothing they were not given, and can all be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from peakmark import markup
from peakmark.markup import data_url, render

PACKAGE = Path(markup.__file__).parent
CELL = "report/terminal/templates/cell.html.j2"
PICTURES = "deploy/templates/pictures.html.j2"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("templates/*.j2")), ids=lambda path: path.name)
def test_every_template_can_be_read(path: Path):
    assert markup._environment().get_template(path.relative_to(PACKAGE).as_posix())


def test_text_is_escaped_in_elements_and_in_attributes():
    picture = {"url": '" onload="alert(1)', "caption": "<b>'&amp;'</b> 😀"}
    html = render(PICTURES, pictures=[picture], more=["<i>"])
    assert 'src="&#34; onload=&#34;alert(1)"' in html
    assert "&lt;b&gt;&#39;&amp;amp;&#39;&lt;/b&gt; 😀" in html
    assert "<p>&lt;i&gt;</p>" in html


def test_what_a_template_was_not_given_is_an_error_and_no_empty_place():
    with pytest.raises(UndefinedError, match="lines_html"):
        render(CELL)
    with pytest.raises(UndefinedError, match="caption"):
        render(PICTURES, pictures=[{"url": ""}], more=[])


def test_control_characters_and_halves_of_pairs_are_written_out():
    html = render(CELL, lines_html="a\nb\x1b[2J\udce9")
    assert "a\nb\\u001b[2J\\udce9</pre>" in html
    html.encode("utf-8")


def test_a_picture_stands_in_its_address():
    assert data_url(b"picture", ".png") == "data:image/png;base64,cGljdHVyZQ=="
    assert data_url(b"", ".jpg") == "data:image/jpeg;base64,"
