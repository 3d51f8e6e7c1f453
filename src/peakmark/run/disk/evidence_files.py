"""Where does the evidence of a validated epoch go, and which of it still belongs to the run?

Written before the state that holds the epoch's record, so that whatever is in a run's history has its evidence on the
disk. Nothing of the run reads it: evidence that is lost costs how sure one can be of the best, and nothing else.
It must not know what evidence says.
"""

from __future__ import annotations

from peakmark.errors import MachineError
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.evidence_file import to_bytes
from peakmark.events import Notice, Observer
from peakmark.files import durable
from peakmark.nouns.run import EpochRecord, History, Position
from peakmark.record.folder import RunFolder


def write_evidence(folder: RunFolder, epoch: int, evidence: Evidence, tell: Observer) -> None:
    """Writes an epoch's evidence; where the disk refuses, that is told and the run goes on."""
    try:
        durable.write_bytes(folder.evidence_file(epoch), to_bytes(evidence))
    except MachineError as error:
        tell(Notice(f"The evidence of epoch {epoch + 1} could not be written, so how sure it is stays open. {error}"))


def remove_evidence_beyond(folder: RunFolder, position: Position) -> None:
    """Takes away the evidence of epochs that a resume went back before: they are made again, perhaps otherwise.

    Only for who holds the run's lock.
    """
    durable.clean_leftovers(folder.evidence)
    for path in folder.evidence.glob("epoch*.npz"):
        number = path.stem.removeprefix("epoch")
        if number.isdecimal() and int(number) > position.epoch:
            durable.remove(path)


def take_evidence_along(source: RunFolder, target: RunFolder, history: History) -> None:
    """Gives a branch the evidence of the epochs that it has in common with the run it comes from."""
    for record in filter(_was_validated, history.records):
        if source.evidence_file(record.epoch).is_file():
            durable.copy(source.evidence_file(record.epoch), target.evidence_file(record.epoch))


def _was_validated(record: EpochRecord) -> bool:
    return record.metrics is not None
