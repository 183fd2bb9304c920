"""Pack with Ray Data: sources that no single machine would get through, into shards of Parquet or archives.

    from mnistzip.plugins.ray import pack_shards
    summary = pack_shards(["digits/"], "packed/", to="parquet", workers=64, effort=0)

Each actor loads its model once and works on a shard at a time, which it reads from and writes to storage that all nodes see: no
pixels pass through Ray's object store. ``mnistzip compress --engine ray`` is the same on the command line.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from mnistzip.errors import require_within
from mnistzip.plugins.shard_folder import begin, locked
from mnistzip.plugins.sharding import Job, Report, Shard, ShardError, Summary, pack_shard, plan

try:
    import ray
    import ray.data
except ImportError as cause:
    raise ImportError("packing on a cluster needs Ray: pip install 'mnistzip[ray]'") from cause

WORKERS_MAX = 1 << 16


class _Packer:
    """An actor of Ray: one model, one shard after the other."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._model = job.find_model()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        reports = [pack_shard(self._job, self._model, pickle.loads(shard)) for shard in batch["shard"]]
        return {"report": [json.dumps(asdict(report)) for report in reports]}


def pack_shards(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    resume: bool = False,
    progress: Callable[[Report, int], None] | None = None,
    **options: Any,
) -> Summary:
    """Pack images into the files ``part-00000.cae``, ``part-00001.cae``, ... of a folder, or ``.parquet``.

    The bytes are the same whatever the number of workers: those that :class:`mnistzip.ArchiveWriter` writes of a shard's
    images, or in Parquet the files that :func:`mnistzip.encode_many` makes of them.

    Ray is started on this machine if it is not running and ``RAY_ADDRESS`` names no cluster, and then stopped again.

    Args:
        sources: folders of images, Parquet, IDX and array files, archives, or folders of such files.
        out: a folder that is empty or not there; all nodes must see it and the sources under the same paths.
        workers: actors, of one CPU each; as many as Ray has CPUs by default.
        resume: go on with what an earlier call with the same sources and options began in ``out``; finished shards are skipped.
        progress: called with each report as it comes, and the number of shards that were left to do.
        options: ``to`` ("cae" or "parquet"), ``shard_size``, ``labels``, ``convert``, and ``quality``, ``lossless``, ``effort``
            and ``model`` as for :func:`mnistzip.encode`.

    Returns:
        Sums over all shards, those that an earlier call finished too. Images that could not be taken are named there.

    Raises:
        ShardError: shards are missing in the end, or Ray cannot be started. ``resume`` makes those that are missing.
        OptionError: an option outside its range, or ``out`` is in use.
        ImageError, FormatError, ModelError, OSError: a source or the model cannot be read.
    """
    if workers is not None:
        require_within("workers", workers, 1, WORKERS_MAX)
    job, shards = plan([os.fspath(source) for source in sources], os.fspath(out), **options)
    with locked(job):
        return _pack(job, shards, workers, resume, progress)


def _pack(
    job: Job, shards: Sequence[Shard], workers: int | None, resume: bool, progress: Callable[[Report, int], None] | None
) -> Summary:
    """Make the shards that are missing, in a folder where nobody else is at work."""
    left, summary = begin(job, shards, resume)
    if not left:
        return summary
    errors: list[str] = []
    try:
        for report in _reports(job, left, workers):
            if report.error is None:
                summary.add(report)
            else:
                errors.append(report.error)
            if progress is not None:
                progress(report, len(left))
    except ray.exceptions.RayError as cause:
        raise ShardError(f"Ray gave up, resume goes on from here: {_told(cause)}") from cause
    if errors:
        raise ShardError(f"{len(errors)} of {len(shards)} shards are missing, resume makes them: {errors[0]}")
    return summary


def _reports(job: Job, shards: Sequence[Shard], workers: int | None) -> Iterator[Report]:
    """Reports as the shards are finished."""
    with _running(workers):
        known = int(ray.cluster_resources().get("CPU", 1))
        size = min(workers or max(known, 1), len(shards))
        rows = [{"shard": pickle.dumps(shard)} for shard in shards]
        packed = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Packer,
            fn_constructor_args=(job,),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=size),
            num_cpus=1,
        )
        for row in packed.iter_rows():
            yield Report(**json.loads(row["report"]))


@contextmanager
def _running(workers: int | None) -> Iterator[None]:
    """Ray, started if need be, without its own reports on the terminal."""
    ours = not ray.is_initialized()
    if ours:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        local: dict[str, Any] = {}
        if not os.environ.get("RAY_ADDRESS"):
            local = {"num_cpus": workers or os.cpu_count(), "include_dashboard": False}
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **local)
        except Exception as cause:  # it has many: no cluster at that address, nodes that do not come up in time
            raise ShardError(f"Ray cannot be started, resume tries again: {_told(cause)}") from cause
    context = ray.data.DataContext.get_current()
    logger = logging.getLogger("ray.data")
    bars, level = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = bars
        logger.setLevel(level)
        if ours:
            ray.shutdown()


def _told(error: Exception) -> str:
    """The last line of Ray's message, which is the cause."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
