"""Where a training run keeps its files, and the refusal to touch any others."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from mnistzip.errors import ModelError, OptionError
from mnistzip.io.output_folders import OutputFolder, lies_in

PLAN, LEVELS, CURVES, BOARD = "plan.json", "levels.npz", "curves.png", "tensorboard"
PARTIAL = ".pt.partial"  # of a checkpoint that is being written
FINISHED = "finished"
WAY_OUT = "choose another folder with --folder"


def default_folder(model: Path) -> Path:
    """The run's folder where none is named: beside the model file, under a name that nothing else has."""
    return model.with_name(f"{model.name}.run")


def file_names(stages: Sequence[str]) -> list[str]:
    """What a run of these stages writes into its folder."""
    return [PLAN, LEVELS, CURVES, BOARD, *(f"{stage}{suffix}" for stage in stages for suffix in (".pt", PARTIAL, ".csv"))]


def checkpoints(names: Sequence[str]) -> list[str]:
    """Those of a run's files that only serve for going on with it."""
    return [name for name in names if name.endswith((".pt", PARTIAL)) or name == LEVELS]


def check(path: Path, source: str, stages: Sequence[str], resume: bool, force: bool) -> OutputFolder:
    """The folder of a run that may begin, or go on, there; nothing is written or removed.

    Args:
        path: of the folder.
        source: of the images, which the folder must not be a part of: its pictures would be taken for images.
        stages: names of the stages that train.
        resume: go on with the run in the folder.
        force: begin anew though the folder holds a run.

    Raises:
        ModelError: the folder holds a run but ``resume`` and ``force`` are not set, or no run that can go on.
        OptionError: the folder holds files that a run did not write.
    """
    if lies_in(path, [source]):
        raise OptionError(f"{path} would be a folder among the images of {source}: {WAY_OUT}")
    folder = OutputFolder(path, "train")
    if not folder.marked:
        present = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        known = {*file_names(stages), *(f"{stage}.partial" for stage in stages)}  # the latter of earlier versions
        old = resume and present <= known and any(name.endswith((".pt", PLAN)) for name in present)
        if old:  # a run of a version that wrote no marker
            folder.files |= present
        elif present or (path.exists() and not path.is_dir()):
            raise OptionError(f"{path} holds files that mnistzip train did not write: {WAY_OUT}")
        elif resume:
            raise ModelError(f"{path} holds no run to go on with: leave out --resume, or name its folder with --folder")
        return folder
    if resume and folder.notes.get(FINISHED):
        raise ModelError(f"the run in {path} is finished: -f without --resume trains anew")
    if not resume and not force:
        state = "is finished" if folder.notes.get(FINISHED) else "was begun: --resume goes on with it"
        raise ModelError(f"{path} holds a run that {state}, -f begins anew")
    return folder


def begin(folder: OutputFolder, stages: Sequence[str], resume: bool) -> None:
    """Mark the folder, and remove what an earlier run left there unless this one goes on with it."""
    earlier = set(folder.files)
    names = file_names(stages)
    folder.claim(names, WAY_OUT)
    if not resume:
        folder.remove(earlier)
        folder.files = set(names)
        folder.notes = {}
        folder.save()


def finish(folder: OutputFolder) -> str:
    """Remove the checkpoints of a run that has come to its end; one line for the user."""
    folder.remove(checkpoints(sorted(folder.files)))
    folder.notes[FINISHED] = True
    folder.save()
    return f"curves and logs of the training are in {folder.path}; its checkpoints are removed"


def stopped(folder: OutputFolder) -> str:
    """What the user can do with a run that was stopped."""
    paths = [folder.path / name for name in checkpoints(sorted(folder.files))]
    size = sum(path.stat().st_size for path in paths if path.is_file())
    return f"stopped before its end: the same command with --resume -f goes on from {folder.path} ({size / 1e6:.0f} MB)"


def written_beside(model: Path) -> tuple[Path, Path]:
    """The report and the card that go beside a model file."""
    return model.with_suffix(".json"), model.with_suffix(".md")


def require_apart(folder: Path, model: Path) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` if the run's folder would take the place of what training writes."""
    if folder.resolve() in {path.resolve() for path in (model, *written_beside(model))}:
        raise OptionError(f"{folder} is a file that training writes: {WAY_OUT}")


def check_reports(model: Path, force: bool) -> None:
    """Refuse to replace the files that go beside a model: its report (``.json``) and its card (``.md``).

    Raises:
        ModelError: one exists that training did not write, or one exists and ``force`` is not set.
    """
    for path, ours in zip(written_beside(model), (_is_report, _is_card), strict=True):
        if not os.path.lexists(path):
            continue
        if not ours(path):
            raise ModelError(f"{path} was not written by mnistzip train, which writes there: give the model another name")
        if not force:
            raise ModelError(f"{path} exists already: -f overwrites it")


def _is_report(path: Path) -> bool:
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(report, dict) and {"recipe", "fingerprint", "held_out"} <= report.keys()


def _is_card(path: Path) -> bool:
    try:
        return path.read_bytes().startswith(b"# Model `")
    except OSError:
        return False
