"""The folder of a training run. Files that training did not write are never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from mnistzip.errors import ModelError, OptionError
from mnistzip.io.output_folders import OutputFolder, lies_in

PLAN, LEVELS, CURVES, BOARD = "plan.json", "levels.npz", "curves.png", "tensorboard"
PARTIAL = ".pt.partial"  # suffix of a checkpoint during its writing
FINISHED = "finished"
WAY_OUT = "choose another folder with --folder"


def default_folder(model: Path) -> Path:
    """The default folder of a run, next to the model file: ``MODEL.npz.run``."""
    return model.with_name(f"{model.name}.run")


def file_names(stages: Sequence[str]) -> list[str]:
    """Names of the files that a run of these stages writes into its folder."""
    return [PLAN, LEVELS, CURVES, BOARD, *(f"{stage}{suffix}" for stage in stages for suffix in (".pt", PARTIAL, ".csv"))]


def checkpoints(names: Sequence[str]) -> list[str]:
    """The files of a run that are needed only to resume it."""
    return [name for name in names if name.endswith((".pt", PARTIAL)) or name == LEVELS]


def check(path: Path, source: str, stages: Sequence[str], resume: bool, force: bool) -> OutputFolder:
    """Check that a run may start or continue in a folder, and return the folder. Nothing is written or removed.

    Args:
        path: path of the folder.
        source: path of the images. The folder must not lie in it, since its pictures would be read as images.
        stages: names of the stages.
        resume: continue the run in the folder.
        force: start a new run although the folder holds one.

    Raises:
        ModelError: the folder holds a run but neither ``resume`` nor ``force`` is set, or it holds no run to resume.
        OptionError: the folder holds files that a run did not write.
    """
    if lies_in(path, [source]):
        raise OptionError(f"{path} would be a folder among the images of {source}: {WAY_OUT}")
    folder = OutputFolder(path, "train")
    if not folder.marked:
        present = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
        known = {*file_names(stages), *(f"{stage}.partial" for stage in stages)}  # earlier versions wrote the latter
        is_old_run = resume and present <= known and any(name.endswith((".pt", PLAN)) for name in present)
        if is_old_run:  # earlier versions wrote no marker
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
    """Mark the folder as that of a run, and remove the files of an earlier run unless this one resumes it."""
    earlier = set(folder.files)
    names = file_names(stages)
    folder.claim(names, WAY_OUT)
    if not resume:
        folder.remove(earlier)
        folder.files = set(names)
        folder.notes = {}
        folder.save()


def finish(folder: OutputFolder) -> str:
    """Remove the checkpoints of a finished run; returns one line for the user."""
    folder.remove(checkpoints(sorted(folder.files)))
    folder.notes[FINISHED] = True
    folder.save()
    return f"curves and logs of the training are in {folder.path}; its checkpoints are removed"


def stopped(folder: OutputFolder) -> str:
    """One line for the user on how to resume a stopped run."""
    paths = [folder.path / name for name in checkpoints(sorted(folder.files))]
    size = sum(path.stat().st_size for path in paths if path.is_file())
    return f"stopped before its end: the same command with --resume -f goes on from {folder.path} ({size / 1e6:.0f} MB)"


def report_paths(model: Path) -> tuple[Path, Path]:
    """Paths of the report and the card of a model file."""
    return model.with_suffix(".json"), model.with_suffix(".md")


def require_apart(folder: Path, model: Path) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` if the folder of the run has the path of a file that training writes."""
    if folder.resolve() in {path.resolve() for path in (model, *report_paths(model))}:
        raise OptionError(f"{folder} is a file that training writes: {WAY_OUT}")


def check_reports(model: Path, force: bool) -> None:
    """Refuse to replace the report (``.json``) and the card (``.md``) of a model.

    Raises:
        ModelError: one exists and training did not write it, or ``force`` is not set.
    """
    for path, is_ours in zip(report_paths(model), (_is_report, _is_card), strict=True):
        if not os.path.lexists(path):
            continue
        if not is_ours(path):
            raise ModelError(f"{path} was not written by mnistzip train, which writes there: give the model another name")
        if not force:
            raise ModelError(f"{path} exists already: -f overwrites it")


def _is_report(path: Path) -> bool:
    """Whether a file is a training report."""
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(report, dict) and {"recipe", "fingerprint", "held_out"} <= report.keys()


def _is_card(path: Path) -> bool:
    """Whether a file is a model card."""
    try:
        return path.read_bytes().startswith(b"# Model `")
    except OSError:
        return False
