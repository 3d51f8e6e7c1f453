"""How is a run resumed? In this order, and nothing is changed before the user has read what will be:

1. stopped.py   the state to go on from is read, and it is settled whether a run goes on in place or in a branch;
2. compare.py   settings, data and machine of both sides of the seam are compared, which makes the plan of change
                (plan.py);
3. here         the plan is told, and agreed to;
4. restore.py   the state is restored under the old settings, captured again, and must have the digest of the file;
5. change.py    the changes are applied to it, and a segment is appended;
6. folders.py   the folder is brought to where the run goes on;
7. run/begin.py the run goes on, and watch.py looks at its first epochs.

A run of another program goes on by foreign_run.py: it has no state that could be the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from peakmark.checkpoint.writer import save
from peakmark.data.dataset import read_dataset
from peakmark.errors import MachineError, SettingsError
from peakmark.events import Observer, ResumePlanned
from peakmark.files.durable import clean_leftovers
from peakmark.files.lock import RunLock
from peakmark.machine.numerics import undisturbed
from peakmark.nouns.resume import ChangePlan, PlannedPart
from peakmark.nouns.run import Position
from peakmark.record.folder import RunFolder
from peakmark.record.settings_yaml import read as read_settings
from peakmark.resume.change import change
from peakmark.resume.compare import DATA_SETTINGS, Planned, Wishes, compare
from peakmark.resume.folders import (
    branch_folder,
    fill_branch,
    keep_the_way_back,
    lineage,
    tidy_folder,
    write_settings,
)
from peakmark.resume.foreign_run import is_foreign, plan_foreign, resume_foreign
from peakmark.resume.probe import probed
from peakmark.resume.restore import proven_state
from peakmark.resume.stopped import is_alone, read_stopped
from peakmark.resume.watch import seam_watch
from peakmark.run.begin import Audience, carry_out, check_memory
from peakmark.run.build import PreparedRun, prepare, put_together
from peakmark.run.disk.data_files import changed_files, write_data_files
from peakmark.run.end.end import EndedRun
from peakmark.run.weights import find_model
from peakmark.selection.decide import decide
from peakmark.selection.rules import rules_of
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.recipe import recipe_of
from peakmark.state.capture import capture
from peakmark.state.state import RunState


@undisturbed()
def resume_run(folder: RunFolder, asked: Path | None, wishes: Wishes, audience: Audience) -> EndedRun:
    """Resumes a run where it stopped.

    `asked` is the checkpoint that the user named, if any: one that is another state than the run's newest branches into
    a new folder, and so does one that lies in no run's folder. Raises ModelFileError where there is nothing to resume
    or the state can't be restored, SettingsError where a change is refused or a danger not agreed to, and MachineError
    where the data are not the run's own.
    """
    if is_alone(folder, asked) and asked is not None and is_foreign(asked):
        return resume_foreign(asked, wishes, audience)
    if is_alone(folder, asked):
        stopped = read_stopped(folder, asked)
    else:
        with RunLock(folder.path):
            for place in (folder.path, folder.weights):
                clean_leftovers(place)  # of a write that a crash cut off
            stopped = read_stopped(folder, asked)
            if stopped is None:
                return _from_the_beginning(folder, wishes, audience)
            if not stopped.elsewhere:
                planned = compare(stopped, wishes)
                _agree(planned, wishes, audience.observe)
                return _go_on(planned, folder, wishes, audience, stopped.refused)
    assert stopped is not None
    planned = compare(stopped, wishes)
    _agree(planned, wishes, audience.observe)
    branch, said = branch_folder(planned)
    with RunLock(branch.path):
        fill_branch(planned, branch)
        return _go_on(planned, branch, wishes, audience, said)


def plan_resume(folder: RunFolder, asked: Path | None, wishes: Wishes) -> ResumePlanned:
    """Says what `resume_run` would do, and does nothing. Raises as it does, but for refusals and dangers."""
    if is_alone(folder, asked) and asked is not None and is_foreign(asked):
        return plan_foreign(asked, wishes)
    stopped = read_stopped(folder, asked)
    if stopped is None:
        why = "the run was ended before anything was saved: it starts from its settings.yaml"
        plan = ChangePlan((), (PlannedPart("everything", "re-initialised", why),), ())
        return ResumePlanned(folder.path, plan, Position())
    return _told(compare(stopped, wishes))


def _told(planned: Planned) -> ResumePlanned:
    return ResumePlanned(planned.stopped.folder.path, planned.plan, planned.checkpoint.position)


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


def _go_on(planned: Planned, folder: RunFolder, wishes: Wishes, audience: Audience, notes: tuple[str, ...]) -> EndedRun:
    """Restores, changes, and runs on; `folder` is the run's own, or its branch's."""
    seam = planned.seam
    state = proven_state(planned, folder)
    notes = (*notes, *planned.data_changes, *probed(planned, state, wishes.settings.probe, audience.observe))
    notes = (*notes, *change(planned, folder, state), *planned.notes, *_over(planned, state))
    run = _put_together(planned, folder, state, notes)
    check_memory(run)
    if seam.changes_the_run and not seam.elsewhere:
        keep_the_way_back(planned, folder)
    if seam.changes_the_run or seam.changes:
        # Before any file tells of the change: killed in between, the run would go on as before and they say otherwise.
        save(capture(state, run.facts), folder.last)
    tidy_folder(planned, folder, state.history, _told(planned))
    watches = (*audience.watches, *seam_watch(planned, folder, wishes.settings))
    return carry_out(run, folder, replace(audience, watches=watches), run.notes)


def _put_together(planned: Planned, folder: RunFolder, state: RunState, notes: tuple[str, ...]) -> PreparedRun:
    after = planned.after
    return put_together(
        after.settings,
        planned.data,
        after.arithmetic,
        state,
        planned.checkpoint.architecture,
        notes,
        lineage(planned, folder),
    )


def _over(planned: Planned, state: RunState) -> tuple[str, ...]:
    """Says that there is nothing left to train, where that is so."""
    history, position, settings = state.history, state.position, planned.after.settings
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


def _from_the_beginning(folder: RunFolder, wishes: Wishes, audience: Audience) -> EndedRun:
    """Starts a run again, in its folder, that was ended before its first save."""
    old = parse(Settings, read_settings(folder.settings_yaml)).settings
    parsed = parse(Settings, wishes.changes, base=old)
    settings = parsed.settings
    spec = read_dataset(settings.data, download=settings.download)
    run = prepare(settings, find_model(settings.model), spec, wishes.fitness)
    check_memory(run)
    changed = changed_files(folder, run.data)
    if changed and not DATA_SETTINGS & wishes.changes.keys():
        raise MachineError(
            f"The images or labels are not those that this run was started with. {' '.join(changed)} Put them back as"
            f" they were, or start with them as they are: peakmark resume {folder.path} data={settings.data}"
        )
    write_data_files(folder, run.data)
    if wishes.changes:
        write_settings(folder, old, run.settings, Position())
    said = "This run was ended before anything was saved: it starts from its settings.yaml."
    return carry_out(run, folder, audience, (said, *parsed.notes, *run.notes))
