"""The folder that shards are written into: started once, resumed after a stop, and used by one call at a time.

It holds the shards, ``_manifest.json`` with the plan, and ``_reports`` with one report for each complete shard. The only files
deleted are those that killed workers left behind for these shards.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from mnistzip.errors import FormatError, OptionError
from mnistzip.plugins.sharding import REPORTS_FOLDER, STARTED_SUFFIX, Report, Shard, ShardJob, Summary
from mnistzip.storage.atomic import PARTIAL_SUFFIX, AtomicFile, partial_prefix

MANIFEST = "_manifest.json"  # readers of Parquet folders ignore names that begin with _


def begin(job: ShardJob, shards: Sequence[Shard], resume: bool) -> tuple[list[Shard], Summary]:
    """Prepare the folder.

    Args:
        job, shards: the result of :func:`mnistzip.plugins.sharding.plan`.
        resume: continue an earlier call; without it the folder must be empty or missing.

    Returns:
        The shards that are missing, and the sums over those that are complete.

    Raises:
        OptionError: the folder is not empty, or holds the shards of another plan.
        FormatError: the manifest in the folder is damaged.
    """
    folder = Path(job.out)
    manifest = folder / MANIFEST
    description = {**asdict(job), "shards": [[shard.source, shard.first, shard.count] for shard in shards]}
    del description["out"]  # a folder may be moved
    description = json.loads(json.dumps(description))  # lists and numbers as a manifest gives them
    summary = Summary()
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not resume)):
        raise OptionError(f"{folder} is not an empty folder: name another, or continue with resume (--resume)")
    if manifest.exists():
        try:
            existing = json.loads(manifest.read_bytes())
        except ValueError as cause:
            raise FormatError(f"{manifest} is damaged: {cause}") from cause
        differing = [key for key in description if not isinstance(existing, dict) or existing.get(key) != description[key]]
        if differing:
            names = ", ".join(differing)
            raise OptionError(f"{folder} was started with other {names}: resume with the same options, or name another folder")
    elif resume and folder.exists() and any(folder.iterdir()):
        raise OptionError(f"{folder} holds no {MANIFEST}: no packing was started there, so none can be resumed")
    with AtomicFile(manifest) as file:
        file.write(json.dumps(description).encode())
    for path in _leftovers(job, shards):
        path.unlink(missing_ok=True)
    missing = []
    for shard in shards:
        report = _read_report(job, shard)
        if report is None:
            missing.append(shard)
        else:
            summary.add(report)
    summary.resumed = summary.shards
    return missing, summary


@contextmanager
def locked(job: ShardJob) -> Iterator[None]:
    """Lock the folder of a job against a second call. Does nothing on file systems without locks and on Windows.

    Raises:
        OptionError: another call has locked the folder.
    """
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl  # not on Windows

            os.makedirs(job.out, exist_ok=True)
            descriptor = os.open(job.out, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as cause:
                raise OptionError(f"{job.out} is in use: another call writes its shards, so wait until it ends") from cause
        yield


def _leftovers(job: ShardJob, shards: Sequence[Shard]) -> Iterator[Path]:
    """The files that killed workers on these shards left behind; no other files of the folder."""
    for shard in shards:
        yield job.report_path(shard).with_suffix(STARTED_SUFFIX)
    prefixes = {partial_prefix(path) for shard in shards for path in (job.path(shard), job.report_path(shard))}
    for folder in (Path(job.out), Path(job.out) / REPORTS_FOLDER):
        for path in folder.glob(f".mnistzip-*{PARTIAL_SUFFIX}"):
            if path.name[: path.name.rindex("-") + 1] in prefixes:
                yield path


def _read_report(job: ShardJob, shard: Shard) -> Report | None:
    """The report of a shard; None unless the shard is complete."""
    try:
        report = Report(**json.loads(job.report_path(shard).read_bytes()))
        complete = job.path(shard).stat().st_size == report.bytes
    except (OSError, ValueError, TypeError):
        return None
    return report if complete else None
