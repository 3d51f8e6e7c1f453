"""How is a run gone on with? In this order, and nothing is changed before the user has read what will be:

1. The newest good file of the folder is read; one that is older than it, and named, branches into a new folder.
2. Settings, data and machine of both sides of the seam are compared: the plan of change is told, and agreed to.
3. The state is restored under the old settings, captured again, and must have the digest of the file.
4. The changes are applied to it, a segment is appended, and the run goes on, watched for its first epochs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peakmark.checkpoint.catalogue import Found, has_files, newest_good, read_to_go_on
from peakmark.checkpoint.difference import differing_parts
from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.format import comparable
from peakmark.checkpoint.kept import is_whole, kept_epoch, kept_epochs
from peakmark.checkpoint.reader import read_position
from peakmark.checkpoint.writer import save
from peakmark.data.source.dataset import read_dataset
from peakmark.errors import MachineError, ModelFileError, SettingsError
from peakmark.evaluate.fitness import Fitness
from peakmark.events import Observer, ResumePlanned
from peakmark.files.durable import clean_leftovers, copy, write_bytes, write_text
from peakmark.files.lock import RunLock
from peakmark.machine.numerics import undisturbed
from peakmark.nouns.resume import ChangePlan, PlannedPart
from peakmark.nouns.run import History, Position, Segment
from peakmark.record.folder import RunFolder, create_run_folder
from peakmark.record.journal import Journal, mark_superseded
from peakmark.record.settings_yaml import read as read_settings
from peakmark.record.settings_yaml import read_origins, with_changes
from peakmark.record.settings_yaml import render as render_settings
from peakmark.resume.change import change_state, restored_state
from peakmark.resume.compare import DATA_SETTINGS, Planned, Wishes, think_through
from peakmark.resume.health.diagnosis import restored_wrong
from peakmark.resume.probe import validated_again
from peakmark.resume.watch import SeamWatch, looking_at
from peakmark.run.begin import Watch, carry_out, check_memory
from peakmark.run.build import bearing_on_result, facts_of, prepare, put_together
from peakmark.run.disk.data_files import changed_files, write_data_files
from peakmark.run.disk.evidence_files import remove_evidence_beyond, take_evidence_along
from peakmark.run.disk.kept_weights import judged_by_kept, keep_best_by_its_epoch, keep_epochs, mend_best
from peakmark.run.end.end import Artist, EndedRun
from peakmark.run.fitness import value_again
from peakmark.run.weights import find_model
from peakmark.selection.decide import decide
from peakmark.selection.rules import rules_of
from peakmark.settings.fields import ResumeSettings, Settings
from peakmark.settings.parse import parse
from peakmark.settings.plain import to_plain
from peakmark.settings.recipe import recipe_of
from peakmark.state.capture import RunFacts, capture
from peakmark.state.segments import better_but_gone, segment_begins
from peakmark.state.state import RunState

_ALONE = "it lies in no run's folder, so a run goes on from it in a new one"
_ABOUT_STOPPING = ("epochs", "patience", "min_delta", "stop_phase")
"""Whoever changes one of these lets a run that was about to end early go on."""


@undisturbed()
def resume_run(
    folder: RunFolder, asked: Path | None, wishes: Wishes, observe: Observer, artist: Artist, watch: Watch
) -> EndedRun:
    """Goes on with a run where it stopped.

    `asked` is the checkpoint that the user named, if any: one that is another state than the run's newest branches into
    a new folder, and so does one that lies in no run's folder. Raises ModelFileError where there is nothing to go on
    with or the state can't be restored, SettingsError where a change is refused or a danger not agreed to, and
    MachineError where the data are not the run's own.
    """
    if _is_alone(folder, asked):
        assert asked is not None
        return _branch(_thought_through(folder, asked, _ALONE, wishes, observe), asked, wishes, observe, artist, watch)
    with RunLock(folder.path):
        for place in (folder.path, folder.weights):
            clean_leftovers(place)  # of a write that a crash cut off
        if not has_files(folder.weights):
            return _from_the_beginning(folder, wishes, observe, artist, watch)
        found = newest_good(folder.weights)
        if _is_newest(found, asked):
            planned = think_through(folder, found.checkpoint, wishes)
            _agree(planned, wishes, observe)
            return _go_on(planned, folder, wishes, observe, artist, watch, found.refused)
    assert asked is not None
    planned = _thought_through(folder, asked, _another_state(found), wishes, observe)
    return _branch(planned, asked, wishes, observe, artist, watch)


def plan_resume(folder: RunFolder, asked: Path | None, wishes: Wishes) -> ResumePlanned:
    """Says what `resume_run` would do, and does nothing. Raises as it does, but for refusals and dangers."""
    if _is_alone(folder, asked):
        assert asked is not None
        return _told(think_through(folder, read_to_go_on(asked), wishes, source=asked, elsewhere=_ALONE))
    if not has_files(folder.weights):
        why = "the run was ended before anything was saved: it starts from its settings.yaml"
        plan = ChangePlan((), (PlannedPart("everything", "re-initialised", why),), ())
        return ResumePlanned(folder.path, plan, Position())
    found = newest_good(folder.weights)
    if asked is None or _is_newest(found, asked):
        return _told(think_through(folder, found.checkpoint, wishes))
    elsewhere = _another_state(found)
    return _told(think_through(folder, read_to_go_on(asked), wishes, source=asked, elsewhere=elsewhere))


def _told(planned: Planned) -> ResumePlanned:
    return ResumePlanned(planned.folder.path, planned.plan, planned.checkpoint.position)


def _is_newest(found: Found, asked: Path | None) -> bool:
    """Whether the named state is the newest: at one position there are two where settings were changed before it."""
    if asked is None:
        return True
    if read_position(asked) != found.checkpoint.position:
        return False
    return not differing_parts(read_to_go_on(asked), found.checkpoint)


def _is_alone(folder: RunFolder, asked: Path | None) -> bool:
    """Whether the named file lies in no run's folder, as one that was copied from a machine that is gone."""
    return asked is not None and asked.parent != folder.weights


def _another_state(found: Found) -> str:
    return f"another state than the run's newest, {found.path.name}: a branch of it goes on in a new folder"


def _thought_through(folder: RunFolder, asked: Path, elsewhere: str, wishes: Wishes, observe: Observer) -> Planned:
    planned = think_through(folder, read_to_go_on(asked), wishes, source=asked, elsewhere=elsewhere)
    _agree(planned, wishes, observe)
    return planned


def _from_the_beginning(folder: RunFolder, wishes: Wishes, observe: Observer, artist: Artist, watch: Watch) -> EndedRun:
    """Starts a run again, in its folder, that was ended before its first save."""
    old = parse(Settings, read_settings(folder.settings_yaml)).settings
    parsed = parse(Settings, wishes.changes, base=old)
    settings = parsed.settings
    run = prepare(settings, find_model(settings.model), read_dataset(settings.data), wishes.fitness)
    check_memory(run)
    changed = changed_files(folder, run.train_index, run.val_index)
    if changed and not DATA_SETTINGS & wishes.changes.keys():
        raise MachineError(
            f"The images or labels are not those that this run was started with. {' '.join(changed)} Put them back as"
            f" they were, or start with them as they are: peakmark resume {folder.path} data={settings.data}"
        )
    write_data_files(folder, run.train_index, run.val_index)
    if wishes.changes:
        _write_settings(folder, old, settings, Position())
    said = "This run was ended before anything was saved: it starts from its settings.yaml."
    return carry_out(run, folder, observe, artist, (said, *parsed.notes, *run.notes), watch)


def _branch(planned: Planned, asked: Path, wishes: Wishes, observe: Observer, artist: Artist, watch: Watch) -> EndedRun:
    """Goes on from another state in a folder of its own; the run or the file that it comes from stays as it is."""
    settings, alone = planned.parsed.settings, _is_alone(planned.folder, asked)
    here = planned.folder.path
    project = Path(settings.project) if "project" in wishes.changes else here if alone else here.parent
    name = settings.name if "name" in wishes.changes or alone else here.name
    folder, said = create_run_folder(project, name, exist_ok=False)
    note = f"{asked}: {planned.seam.elsewhere}, {folder.path};"
    with RunLock(folder.path):
        save(planned.checkpoint, folder.last)
        for epoch, path in kept_epochs(asked.parent, planned.checkpoint.history).items():
            by_period = planned.folder.epoch_file(epoch).exists()
            whole = path if is_whole(path) else kept_epoch(asked.parent, planned.checkpoint.history, epoch)
            if whole is not None:
                copy(whole, folder.epoch_file(epoch) if by_period else folder.best_epoch_file(epoch))
        take_evidence_along(planned.folder, folder, planned.checkpoint.history)
        settings_before = planned.checkpoint.settings
        write_text(folder.settings_yaml, render_settings(settings_before, _origins(planned.folder, settings_before)))
        if planned.folder.journal.is_file():
            # Its story begins with that of the run it comes from; what lies beyond this state is marked as superseded.
            write_bytes(folder.journal, planned.folder.journal.read_bytes())
        notes = (f"{note} {asked if alone else here} stays as it is.", *said)
        return _go_on(planned, folder, wishes, observe, artist, watch, notes)


def _agree(planned: Planned, wishes: Wishes, observe: Observer) -> None:
    """Tells the plan. Raises SettingsError where something of it is refused, or dangerous and not agreed to."""
    if planned.plan.refusals:
        # Not shown as a table first: it would be read twice.
        raise SettingsError([f"{part.part}: {part.why.rstrip('.')}." for part in planned.plan.refusals])
    observe(_told(planned))
    if planned.plan.dangers and not wishes.agree(planned.plan):
        dangers = ", ".join(part.part for part in planned.plan.dangers)
        remedy = "--yes (in Python yes=True) agrees to it; peakmark resume --dry-run shows what each would do"
        raise SettingsError([f"Nothing was done, since nobody agreed to what is dangerous here: {dangers}. {remedy}."])


# --- doing it -------------------------------------------------------------------------------------------------------


def _go_on(
    planned: Planned,
    folder: RunFolder,
    wishes: Wishes,
    observe: Observer,
    artist: Artist,
    watch: Watch,
    notes: tuple[str, ...],
) -> EndedRun:
    """Restores, changes, and runs on."""
    checkpoint, seam = planned.checkpoint, planned.seam
    state = _restored(planned, folder)
    said = [*notes, *planned.data_changes, *_probed(planned, state, wishes.settings, observe)]
    if seam.changes_the_run:
        said += _change(planned, folder, state)
    elif (mended := mend_best(folder, state.history)) is not None:
        said.append(mended)
    settings = planned.parsed.settings
    run = put_together(
        settings,
        planned.data,
        planned.after.arithmetic,
        state,
        checkpoint.architecture,
        (*said, *planned.parsed.notes, *_over(state.history, settings, state.position)),
        _lineage(planned, folder),
    )
    check_memory(run)
    if seam.changes_the_run and not seam.elsewhere:
        _keep_the_way_back(planned, folder)
    if seam.changes_the_run or seam.changes:
        # Before any file tells of the change: killed in between, the run would go on as before and they say otherwise.
        save(capture(state, facts_of(run)), folder.last)
    _tidy_folder(planned, folder, state.history)
    if planned.data_changes or not folder.data_files.exists():
        write_data_files(folder, run.train_index, run.val_index)
    return carry_out(run, folder, observe, artist, run.notes, watch, *_seam_watch(planned, folder, wishes.settings))


def _keep_the_way_back(planned: Planned, folder: RunFolder) -> None:
    """Keeps the state from before a change, which last.pt holds no longer; of several at one place the first."""
    checkpoint = planned.checkpoint
    file = folder.before_file(checkpoint.position.epoch)
    try:
        if read_position(file) == checkpoint.position:
            return
    except ModelFileError:
        pass  # there is none yet, or none that is whole
    save(checkpoint, file)


def _restored(planned: Planned, folder: RunFolder) -> RunState:
    """Restores the state under the settings it was saved with; captured again, it must be the same, part by part."""
    checkpoint, arithmetic = planned.checkpoint, planned.after.arithmetic
    old = planned.before.settings
    state = restored_state(checkpoint, old, arithmetic)
    facts = RunFacts(old, checkpoint.names, checkpoint.architecture, planned.before.arithmetic, checkpoint.provenance)
    wrong = differing_parts(checkpoint, capture(state, facts))
    if planned.before.arithmetic.needs_scaler != arithmetic.needs_scaler:
        wrong = [part for part in wrong if part != "scaler"]
    if wrong:
        named = " ".join(f"{cause.name}: {cause.evidence}" for cause in restored_wrong(wrong))
        raise ModelFileError(
            f"{folder.last}: {', '.join(wrong)} could not be restored exactly, so nothing was changed. {named} Please"
            f" report it; meanwhile start a new run from the weights: peakmark train model={folder.best} data=..."
        )
    return state


def _probed(planned: Planned, state: RunState, wishes: ResumeSettings, observe: Observer) -> tuple[str, ...]:
    """Validates the restored weights again, where it is asked for, or where something else than the run was changed."""
    if wishes.probe == "quick" or (wishes.probe is None and not planned.plan.inexact):
        return ()
    return (validated_again(planned, state, observe),)


def _change(planned: Planned, folder: RunFolder, state: RunState) -> list[str]:
    """Brings the restored state under the new settings and opens their segment; says what became of best.pt."""
    seam, before, after = planned.seam, planned.before, planned.after
    old, new = before.settings, after.settings
    change_state(state, old, new, after.recipe, after.arithmetic, new_optimizer=seam.optimizer_is_new)
    if before.train != after.train and seam.inside_an_epoch:
        # The rest of the open epoch belongs to images that are no longer the run's.
        state.position = dataclasses.replace(state.position, phase="validate")
    segment = _segment(planned, state.position, state.history)
    same_validation = segment.comparable == state.history.segments[-1].comparable
    state.history = History(state.history.records, (*state.history.segments, segment))
    if not same_validation:
        keep_best_by_its_epoch(folder)
    said: list[str] = []
    if new.fitness != old.fitness and planned.data.fitness is not None:
        said += _judge_again(planned.data.fitness, folder, state)
    if (mended := mend_best(folder, state.history)) is not None:
        said.append(mended)
    return said


def _judge_again(fitness: Fitness, folder: RunFolder, state: RunState) -> Iterator[str]:
    """Gives every epoch its value by a new fitness, and says what can't be best by it."""
    text = fitness.formula.text
    state.history = judged_by_kept(folder, state.history, lambda record: value_again(fitness, folder, record))
    if unjudged := [str(r.epoch + 1) for r in state.history.records if r.metrics is not None and r.fitness is None]:
        which = f"epoch{'s' if len(unjudged) > 1 else ''} {', '.join(unjudged)}"
        yield f"What fitness={text} needs of {which} was not kept or is no number, so they can't be best."
    if (gone := better_but_gone(state.history)) is not None:
        yield f"By fitness={text} epoch {gone + 1} would be best, but its weights were not kept."


def _segment(planned: Planned, position: Position, history: History) -> Segment:
    after = planned.after
    from_epoch, from_images = segment_begins(position)
    return Segment(
        from_epoch=from_epoch,
        from_images=from_images,
        settings=bearing_on_result(after.settings),
        reason="; ".join(planned.seam.reasons) or "schedule=stretch",
        recipe=dataclasses.asdict(after.recipe),
        horizon=after.horizon,
        # Where nothing is validated any more, there is nothing new that could not be compared.
        comparable=comparable(planned.data.val_fingerprint, after.settings.imgsz, planned.data.protocol)
        if after.settings.val
        else history.segments[-1].comparable,
        rewarm_epochs=1.0 if planned.seam.optimizer_is_new else 0.0,
        until=None if _goes_on_after_all(planned) else history.segments[-1].until,
        gone=history.segments[-1].gone,
    )


def _goes_on_after_all(planned: Planned) -> bool:
    """Whether an early stop that is running its closing epochs is called off."""
    return bool(planned.seam.changed(*_ABOUT_STOPPING)) or planned.before.horizon != planned.after.horizon


def _over(history: History, settings: Settings, position: Position) -> tuple[str, ...]:
    """Says that there is nothing left to train, where that is so."""
    stopped = bool(history.records) and position.images == 0 and position.phase == "train"
    decision = stopped and decide(history, rules_of(settings, recipe_of(history.segments[-1])))
    if position.epoch >= settings.epochs:
        more = f"more epochs go on from here: epochs={settings.epochs + 50}"
    elif decision and decision.stop:
        # It closed already: held there, all that is left would go on at the last rate and without mosaic.
        again = " schedule=stretch" if history.segments[-1].until is not None else ""
        more = f"it ended early; a larger patience goes on: patience={settings.patience * 2}{again}"
    else:
        return ()
    return (f"This run is over, so nothing is trained; what is missing of its files is completed ({more}).",)


def _lineage(planned: Planned, folder: RunFolder) -> dict[str, Any]:
    """Which state the run goes on with, and what was changed when."""
    checkpoint, position = planned.checkpoint, planned.checkpoint.position
    parent = everything(checkpoint)
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": str(planned.folder.path),
        "branch": folder.path != planned.folder.path,
        "parent": parent,
        "epoch": position.epoch,
        "images": position.images,
        "phase": position.phase,
        "changes": list(planned.plan.changes),
    }
    before = checkpoint.provenance
    return {
        "created_at": before["created_at"],
        "parent": parent,
        "lineage": [*before.get("lineage", []), entry],
    }


def _tidy_folder(planned: Planned, folder: RunFolder, history: History) -> None:
    """Brings what is kept and what people read in the folder to where the run goes on."""
    settings = planned.after.settings
    keep_epochs(folder, history, keep=settings.keep, save_period=settings.save_period)
    mark_superseded(folder.journal, planned.checkpoint.position)
    remove_evidence_beyond(folder, planned.checkpoint.position)
    Journal(folder.journal)(_told(planned))
    old, new = planned.before.settings, planned.after.settings
    if planned.seam.changes:
        _write_settings(folder, old, new, planned.checkpoint.position)


def _write_settings(folder: RunFolder, old: Settings, new: Settings, position: Position) -> None:
    before, now = to_plain(old), to_plain(new)
    changed = {name: value for name, value in before.items() if now[name] != value}
    origins = with_changes(_origins(folder, now), changed, position.epoch)
    write_text(folder.settings_yaml, render_settings(now, origins))


def _origins(folder: RunFolder, settings: Mapping[str, Any]) -> dict[str, str]:
    """Where settings came from, as settings.yaml has it; a branch that was killed as it began may have none yet."""
    known = read_origins(folder.settings_yaml) if folder.settings_yaml.is_file() else {}
    return dict.fromkeys(settings, "as in the checkpoint") | known


def _seam_watch(planned: Planned, folder: RunFolder, wishes: ResumeSettings) -> tuple[SeamWatch, ...]:
    if not wishes.watch:
        return ()
    found, others = planned.seam.contradictions, planned.data_changes
    look = looking_at(folder.journal, watch=wishes.watch, found=found, data_changes=others)
    return (SeamWatch(planned.checkpoint.position.epoch, wishes.watch, wishes.on_break, look),)
