"""Which word writes a data set in another format? It reads its pairs, hands them on and shows what became of the set.

It must not compute anything.
"""

from __future__ import annotations

from typing import Annotated

import typer

import peakmark
from peakmark.cli.answering import err, help_wanted, out, say, told_plainly
from peakmark.cli.pairs import read_pairs
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.report.terminal.conversion_table import print_conversion
from peakmark.settings.familiar_words.translation import flags_of
from peakmark.settings.fields import ConvertSettings


def convert(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For a program: JSON, with all that was left out.")] = False,
) -> None:
    """Write a data set in another format: peakmark convert source=VOC to=yolo target=set"""
    example = "peakmark convert from=voc source=VOC2007 to=yolo target=voc-as-yolo split=0.8,0.1,0.1"
    if help_wanted(context, ConvertSettings, example, _CONVERT):
        return
    with told_plainly():
        pairs = read_pairs(context.args, flags_of(ConvertSettings))
        with ConsoleObserver(err()) as observer:
            done = peakmark.convert(observer=observer, **pairs)
        if json:
            say(done.to_json())
        else:
            print_conversion(out(), done)


_CONVERT = """
Reads YOLO, COCO, PASCAL VOC or LabelMe and writes any of them into a new
folder, with the images. The source stays as it is. Whatever can't be taken is
counted, named by file and place, and listed in converted.json of the target.
  --json  everything, for a program"""
