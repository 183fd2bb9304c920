"""Write measured figures into the README and the pages of docs/, from the files that hold the results.

    python -m mnistzip.bench.update_readme [ROOT]

ROOT is a checkout of the repository, by default the current folder. A figure stands between ``<!-- NAME -->`` and
``<!-- /NAME -->``; :data:`FIGURES` says which function writes it. A test compares the pages with the results.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mnistzip.bench import (
    cluster_figures,
    figures,
    lossless_figures,
    microcontroller_figures,
    rate_distortion_figures,
    reliability_figures,
)
from mnistzip.bench.figures import Sources, read_sources

Figure = Callable[[Sources], str]
FIGURES: dict[str, dict[str, Figure]] = {  # page -> marker -> function that writes the text
    "README.md": {
        "size": figures.digit_size,
        "results": figures.readme_results,
        "speed": figures.speed_sentence,
        "exact": lossless_figures.exact_size,
        "whole": lossless_figures.whole,
    },
    "docs/archives.md": {"bytes": figures.archive_bytes, "overhead": figures.overhead, "scale": figures.archive_scale},
    "docs/benchmark.md": {"results": figures.all_results, "bd-rate": figures.bd_rates},
    "docs/clusters.md": {
        "cost": cluster_figures.cost,
        "shards": cluster_figures.shards,
        "workers": cluster_figures.workers,
    },
    "docs/lossless.md": {
        "digits": lossless_figures.digits,
        "bitmaps": lossless_figures.bitmaps,
        "changed": lossless_figures.changed_digits,
        "cost": lossless_figures.cost,
        "sets": lossless_figures.other_sets,
        "bounded": figures.bounded_files,
    },
    "docs/microcontrollers.md": {
        "memory": microcontroller_figures.memory,
        "instructions": microcontroller_figures.instructions,
        "budgets": microcontroller_figures.budgets,
    },
    "docs/performance.md": {
        "speed": figures.speed_table,
        "relative": figures.relative_speed,
        "limit": figures.multiply_adds,
        "reads": figures.single_reads,
        "start": figures.start_times,
        "threads": figures.thread_times,
        "flat": figures.flat_costs,
        "blas": figures.blas_threads,
    },
    "docs/plugins.md": {"torch": figures.torch_speed, "parquet": figures.parquet_bytes, "zarr": figures.zarr_chunks},
    "docs/rate-distortion.md": {
        "default": rate_distortion_figures.by_default,
        "mnist": rate_distortion_figures.by_mnist,
        "steps": rate_distortion_figures.steps,
        "bare": rate_distortion_figures.bare_streams,
        "readable": rate_distortion_figures.readable,
        "work": rate_distortion_figures.work,
    },
    "docs/reliability.md": {
        "promises": reliability_figures.promises,
        "bounds": reliability_figures.bounds,
        **{marker: partial(reliability_figures.check, name) for marker, name in reliability_figures.CHECKS.items()},
    },
    "docs/small-pictures.md": {"choice": figures.choice_cost},
    "docs/train-your-own.md": {"glyphs": figures.unseen_glyphs, "fashion": figures.fashion, "strokes": figures.strokes},
}


def updated(text: str, markers: dict[str, Figure], sources: Sources) -> str:
    """A page with updated figures.

    Raises:
        ValueError: a marker occurs not exactly once.
    """
    for name, figure in markers.items():
        matches = list(re.finditer(rf"(?<=<!-- {name} -->)(\n?).*?(?=<!-- /{name} -->)", text, re.DOTALL))
        if len(matches) != 1:
            raise ValueError(f"needs <!-- {name} --> and <!-- /{name} --> exactly once")
        start, end, newline = matches[0].start(), matches[0].end(), matches[0][1]
        text = f"{text[:start]}{newline}{figure(sources)}{newline}{text[end:]}"
    return text


def main(arguments: list[str]) -> int:
    """Write all figures below a folder."""
    root = Path(*arguments[:1])
    sources = read_sources(root)
    for page, markers in FIGURES.items():
        path = root / page
        try:
            text = updated(path.read_text(), markers, sources)
        except ValueError as error:
            print(f"{page} {error}", file=sys.stderr)
            return 1
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
