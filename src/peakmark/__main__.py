"""Makes `python -m peakmark` the same as `peakmark`."""

from peakmark.cli.main import run

run()
