"""Compare two workers of Ray with one: wall-clock seconds for the same shards, in turn, on this machine.

    python benchmarks/ray_speed.py IMAGES [--count 16384] [--shard-size 2048] [--effort 0] [--to cae]

IMAGES is an IDX file. The time includes the start of the actors, but not that of Ray. The machine should be idle.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click
import ray

from mnistzip.idx import idx_header, read_idx
from mnistzip.plugins.ray import pack_shards

TURNS = 2


@click.command()
@click.argument("images", type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=16384, show_default=True)
@click.option("--shard-size", default=2048, show_default=True)
@click.option("--effort", default=0, show_default=True)
@click.option("--to", type=click.Choice(["cae", "parquet"]), default="cae", show_default=True)
def main(images: Path, count: int, shard_size: int, effort: int, to: str) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    digits = read_idx(images)[:count]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "digits-idx3-ubyte"
        source.write_bytes(idx_header(digits.shape) + digits.tobytes())
        for turn in range(TURNS):
            for workers in (1, 2):
                began = time.perf_counter()
                out = Path(folder) / f"{turn}-{workers}"
                pack_shards([source], out, workers=workers, to=to, shard_size=shard_size, effort=effort)
                seconds = time.perf_counter() - began
                load = os.getloadavg()[0]
                click.echo(f"{workers} workers: {seconds:.1f} s, {len(digits) / seconds:,.0f} images/s, load {load:.1f}")
    ray.shutdown()


if __name__ == "__main__":
    main()
