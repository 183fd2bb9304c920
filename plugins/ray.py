"""Pack sources that are too large for one machine: Ray Data writes them into shards of archives or Parquet.

::

    from mnistzip.plugins.ray import pack_shards
    summary = pack_shards(["tests/data/digits-idx3-ubyte.gz"], "packed", to="parquet", shard_size=32, effort=0)

Each actor loads the model once. It reads one shard at a time from storage that all nodes see, and writes it there, so no pixels
pass through the object store of Ray. On the command line: ``mnistzip compress --engine ray``.
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
from mnistzip.plugins.sharding import Report, Shard, ShardError, ShardJob, Summary, pack_shard, plan

try:
    import ray
    import ray.data
except ImportError as cause:
    raise ImportError("packing on a cluster needs Ray: pip install 'mnistzip[ray]'") from cause

WORKERS_MAX = 1 << 16


class _Packer:
    """An actor of Ray: it loads the model once and writes one shard after the other."""

    def __init__(self, job: ShardJob) -> None:
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

    The bytes do not depend on the number of workers. An archive is the one that :class:`mnistzip.ArchiveWriter` writes for the
    images of the shard. The rows of a Parquet file are the files of :func:`mnistzip.encode_many`.

    If Ray is not running and ``RAY_ADDRESS`` names no cluster, Ray is started on this machine, and stopped at the end.

    Args:
        sources: folders of images, Parquet, IDX and array files, archives, or folders of such files.
        out: a folder, empty or missing; all nodes must see it and the sources under the same paths.
        workers: number of actors, one CPU each; by default the number of CPUs that Ray has.
        resume: continue an earlier call with the same sources and options; complete shards are skipped.
        progress: called for each shard, with its report and the number of shards that were missing at the start.
        options: ``to`` ("cae" or "parquet"), ``shard_size``, ``labels``, ``convert``, and ``quality``, ``lossless``,
            ``max_error``, ``effort`` and ``model`` as for :func:`mnistzip.encode`.

    Returns:
        Sums over all shards, including those of earlier calls. ``failures`` names the unreadable images, which are left out.

    Raises:
        ShardError: shards are missing at the end, or Ray cannot be started. A call with ``resume`` makes the missing shards.
        OptionError: an option outside its range, or ``out`` is in use or holds other files.
        ImageError, FormatError, ModelError, OSError: a source or the model cannot be read.
    """
    if workers is not None:
        require_within("workers", workers, 1, WORKERS_MAX)
    job, shards = plan([os.fspath(source) for source in sources], os.fspath(out), **options)
    with locked(job):
        return _pack(job, shards, workers, resume, progress)


def _pack(
    job: ShardJob, shards: Sequence[Shard], workers: int | None, resume: bool, progress: Callable[[Report, int], None] | None
) -> Summary:
    """Write the missing shards, in a folder that this call has locked."""
    missing, summary = begin(job, shards, resume)
    if not missing:
        return summary
    errors: list[str] = []
    try:
        for report in _reports(job, missing, workers):
            if report.error is None:
                summary.add(report)
            else:
                errors.append(report.error)
            if progress is not None:
                progress(report, len(missing))
    except ray.exceptions.RayError as cause:
        raise ShardError(f"Ray gave up, resume continues from here: {_reason(cause)}") from cause
    if errors:
        raise ShardError(f"{len(errors)} of {len(shards)} shards are missing, resume makes them: {errors[0]}")
    return summary


def _reports(job: ShardJob, shards: Sequence[Shard], workers: int | None) -> Iterator[Report]:
    """The report of each shard as it arrives, in no fixed order."""
    with _running(workers):
        cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
        actors = min(workers or cpus, len(shards))
        rows = [{"shard": pickle.dumps(shard)} for shard in shards]
        reports = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Packer,
            fn_constructor_args=(job,),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=1,
        )
        for row in reports.iter_rows():
            yield Report(**json.loads(row["report"]))


@contextmanager
def _running(workers: int | None) -> Iterator[None]:
    """Run Ray, started here if it is not running, without its progress bars and messages on the terminal."""
    started_here = not ray.is_initialized()
    if started_here:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {}
        if not os.environ.get("RAY_ADDRESS"):
            options = {"num_cpus": workers or os.cpu_count(), "include_dashboard": False}
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as cause:  # Ray raises many types: no cluster at the address, nodes that start too late
            raise ShardError(f"Ray cannot be started, resume tries again: {_reason(cause)}") from cause
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
        if started_here:
            ray.shutdown()


def _reason(error: Exception) -> str:
    """The last line of the message of Ray, which names the cause."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
