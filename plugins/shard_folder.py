"""The folder that shards are written into: begun once, gone on with after a stop, and used by one call at a time.

Nothing is deleted in it but what workers on these very shards left when they were killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from mnistzip.errors import FormatError, OptionError
from mnistzip.plugins.sharding import BEGUN, REPORTS, Job, Report, Shard, Summary
from mnistzip.storage.atomic import PARTIAL_SUFFIX, AtomicFile, partial_prefix

MANIFEST = "_manifest.json"  # readers of Parquet folders leave out what begins with _


def begin(job: Job, shards: Sequence[Shard], resume: bool) -> tuple[list[Shard], Summary]:
    """Make the folder ready: the shards that are left to do, and the sums over those that are finished.

    Raises:
        OptionError: the folder is in use, or holds the shards of another plan.
    """
    folder = Path(job.out)
    manifest = folder / MANIFEST
    told = {**asdict(job), "shards": [[shard.source, shard.first, shard.count] for shard in shards]}
    told = json.loads(json.dumps({key: value for key, value in told.items() if key != "out"}))
    summary = Summary()
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not resume)):
        raise OptionError(f"{folder} is not an empty folder: name another, or go on with what is there by resume (--resume)")
    if manifest.exists():
        try:
            held = json.loads(manifest.read_bytes())
        except ValueError as cause:
            raise FormatError(f"{manifest} is damaged: {cause}") from cause
        other = [key for key in told if not isinstance(held, dict) or held.get(key) != told[key]]
        if other:
            raise OptionError(f"{folder} was begun with other {', '.join(other)}: resume with the same, or name another folder")
    elif resume and folder.exists() and any(folder.iterdir()):
        raise OptionError(f"{folder} holds no {MANIFEST}: nothing was begun there that could be resumed")
    with AtomicFile(manifest) as file:
        file.write(json.dumps(told).encode())
    for path in _left_by_killed(job, shards):
        path.unlink(missing_ok=True)
    left = []
    for shard in shards:
        report = _finished(job, shard)
        if report is None:
            left.append(shard)
        else:
            summary.add(report)
    summary.resumed = summary.shards
    return left, summary


@contextmanager
def locked(job: Job) -> Iterator[None]:
    """Keep the folder of a job from being worked on by two calls at once, where the file system has locks.

    Raises:
        OptionError: another call is at work there.
    """
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl  # Windows has none

            os.makedirs(job.out, exist_ok=True)
            number = os.open(job.out, os.O_RDONLY)
            stack.callback(os.close, number)
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as cause:
                raise OptionError(f"{job.out} is in use: another call writes its shards, wait until that ends") from cause
        yield


def _left_by_killed(job: Job, shards: Sequence[Shard]) -> Iterator[Path]:
    """What workers on these shards leave behind when they are killed; nothing else that may be in the folder."""
    for shard in shards:
        yield job.report_path(shard).with_suffix(BEGUN)
    written = {partial_prefix(path) for shard in shards for path in (job.path(shard), job.report_path(shard))}
    for folder in (Path(job.out), Path(job.out) / REPORTS):
        for path in folder.glob(f".mnistzip-*{PARTIAL_SUFFIX}"):
            if path.name[: path.name.rindex("-") + 1] in written:
                yield path


def _finished(job: Job, shard: Shard) -> Report | None:
    """The report of a shard that is finished."""
    try:
        report = Report(**json.loads(job.report_path(shard).read_bytes()))
        whole = job.path(shard).stat().st_size == report.bytes
    except (OSError, ValueError, TypeError):
        return None
    return report if whole else None
