"""What does a study ask Optuna for? Its storage, samplers and pruners, each by one name; loaded when it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakmark.errors import MachineError, SettingsError, how_to_install
from peakmark.machine.streams import stream
from peakmark.search.space import Dimension, Space

if TYPE_CHECKING:
    import optuna

FILE = "study.log"
_ASKED = "asked"


def open_study(folder: Path, name: str, storage: str | None, pruner: str, asked: str = "") -> optuna.Study:
    """Makes a study, or opens the one of this name.

    `asked`: what it searches, in words. Raises MachineError where Optuna or the database isn't there, and SettingsError
    where the database has another study of this name: trials of both would be one search.
    """
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise MachineError(f"A search needs Optuna: {how_to_install('tune')}.") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        place: Any = storage or optuna.storages.JournalStorage(JournalFileBackend(str(folder / FILE)))
        study = optuna.create_study(
            storage=place, study_name=name, direction="maximize", load_if_exists=True, pruner=_pruner(pruner)
        )
        before = study.user_attrs.get(_ASKED)
        if before is None:
            study.set_user_attr(_ASKED, asked)
    except Exception as error:
        # Whatever a database and its driver raise.
        raise MachineError(f"storage={storage}: {' '.join(str(error).split())[:300]}") from error
    if before not in (None, asked):
        raise SettingsError(
            [f"name={name}: storage={storage} has a study of this name that searches {before}; take another name."]
        )
    return study


def draw(study: optuna.Study, trial: optuna.Trial, space: Space, sampler: str, seed: int) -> dict[str, Any]:
    """Draws the settings of a trial; what an earlier process has drawn of them stays.

    Each draw has a sampler of its own, keyed by seed, trial and setting: a sampler that remembers would draw otherwise
    once the process that holds it was killed.
    """
    return {each.name: _drawn(study, trial, each, sampler, seed) for each in space}


def _drawn(study: optuna.Study, trial: optuna.Trial, each: Dimension, sampler: str, seed: int) -> Any:
    keyed = int(stream(seed, f"search {each.name}", trial.number).integers(2**31))
    study.sampler = _sampler(sampler, keyed)
    if each.choices:
        return trial.suggest_categorical(each.name, each.choices)
    if each.is_whole:
        return trial.suggest_int(each.name, int(each.low), int(each.high), log=each.is_log)
    return trial.suggest_float(each.name, each.low, each.high, log=each.is_log)


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def _pruner(name: str) -> optuna.pruners.BasePruner:
    import optuna

    match name:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3)
        case "hyperband":
            return optuna.pruners.HyperbandPruner()
        case _:
            return optuna.pruners.NopPruner()
