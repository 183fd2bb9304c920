"""Classify and denoise all of MNIST with latents; writes ``latent-uses.json`` and the table on its page.

    python benchmarks/latent_uses.py TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS

The arguments are IDX files. The functions and networks are the notebook's: its cells with the tag ``shared`` run here. All
networks are trained with the first 55,000 training digits; the other 5,000 are held out. It needs torch, and takes a
quarter of an hour. ``--cache`` names a folder that keeps the symbols of coded digits for another run.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

import mnistzip
from mnistzip.idx import read_idx

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
NOTEBOOK = NOTEBOOKS / "from-autoencoder-to-codec.ipynb"
RESULTS = NOTEBOOKS / "latent-uses.json"
PAGE = NOTEBOOKS / "README.md"
TRAINING = 55_000
CLASSIFIER = {"steps": 3000, "rate": 4e-3, "batch": 128, "width": 64}
QUALITIES = (10, 20, 50)  # of noisy digits
EFFORT = 3
PROBE_STEPS = 40
PART = 5000  # digits coded at a time


def shared_functions(path: Path = NOTEBOOK) -> SimpleNamespace:
    """What the cells of the notebook with the tag ``shared`` define."""
    namespace: dict[str, Any] = {}
    for cell in json.loads(path.read_text())["cells"]:
        if "shared" in cell["metadata"].get("tags", ()):
            exec("".join(cell["source"]), namespace)
    return SimpleNamespace(**namespace)


class Symbols:
    """The symbols of coded digits, kept in a folder if there is one."""

    def __init__(self, functions: SimpleNamespace, cache: Path | None) -> None:
        self._functions, self._cache = functions, cache
        self.mean_bytes: dict[str, float] = {}

    def of(self, name: str, pixels: NDArray[np.uint8], effort: int) -> torch.Tensor:
        """Symbols of digits at the default quality: (N, 28, 28) -> (N, 4, 7, 7)."""
        path = None if self._cache is None else self._cache / f"{name}-effort-{effort}.npz"
        if path is None or not path.exists():
            coded = [self._part(pixels[start : start + PART], effort) for start in range(0, len(pixels), PART)]
            arrays = {"y": torch.cat([y for y, _ in coded]).numpy().astype(np.int8), "size": sum(size for _, size in coded)}
            if path is None:
                return self._known(name, arrays)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, **arrays)
        with np.load(path) as arrays:
            return self._known(name, arrays)

    def _part(self, pixels: NDArray[np.uint8], effort: int) -> tuple[torch.Tensor, int]:
        files = self._functions.lossy_files(pixels, effort=effort)
        return self._functions.latents_of(files), sum(map(len, files))

    def _known(self, name: str, arrays: Any) -> torch.Tensor:
        y = torch.tensor(arrays["y"], dtype=torch.float32)
        self.mean_bytes[name] = round(int(arrays["size"]) / len(y), 2)
        return y


def trained_for(seconds: float, make: Callable[[], torch.nn.Module], train: Callable[[torch.nn.Module, int], Any]) -> Any:
    """A network trained for as many steps as take this processor time, and their number."""
    torch.manual_seed(0)
    began = time.process_time()
    train(make(), PROBE_STEPS)
    steps = max(PROBE_STEPS, int(PROBE_STEPS * seconds / (time.process_time() - began)))
    torch.manual_seed(0)
    return train(make(), steps), steps


def classification(use: SimpleNamespace, coded: Symbols, data: dict[str, NDArray[np.uint8]]) -> dict[str, Any]:
    """Accuracy of a classifier of symbols."""
    y, y_test = coded.of("train", data["train"], EFFORT), coded.of("test", data["test"], EFFORT)
    labels = data["train labels"].astype(np.int64)
    classifier = use.train_classifier(y[:TRAINING], labels[:TRAINING], **CLASSIFIER)
    return {
        "effort": EFFORT,
        "bytes": coded.mean_bytes["test"],
        **CLASSIFIER,
        "held_out_accuracy": round(use.accuracy(classifier, y[TRAINING:], labels[TRAINING:]), 4),
        "test_accuracy": round(use.accuracy(classifier, y_test, data["test labels"]), 4),
    }


def denoising(use: SimpleNamespace, coded: Symbols, data: dict[str, NDArray[np.uint8]], seconds: float) -> dict[str, Any]:
    """PSNR of noisy digits: as they are, coded, drawn from their latents, and by a plain denoiser."""
    pixels = data["train"][:TRAINING]
    noisy, noisy_test = use.noisy(pixels, seed=1), use.noisy(data["test"], seed=2)
    x, x_test = _tensor(pixels), _tensor(data["test"])
    out: dict[str, Any] = {"deviation": use.NOISE, "noisy": _decibels(use, x_test, _tensor(noisy_test)), "coding": []}
    for quality, effort in (*((quality, EFFORT) for quality in QUALITIES), (use.QUALITY, 0)):
        decoded = [
            _tensor(np.stack(mnistzip.decode_many(use.lossy_files(noisy_test[start : start + PART], quality, effort))))
            for start in range(0, len(noisy_test), PART)
        ]
        out["coding"].append({"quality": quality, "effort": effort, "psnr_db": _decibels(use, x_test, torch.cat(decoded))})
        click.echo(out["coding"][-1])
    y, y_test = coded.of("noisy-train", noisy, 0), coded.of("noisy-test", noisy_test, 0)
    jobs = {"plain denoiser": (use.Denoiser, _tensor(noisy), _tensor(noisy_test)), "from the latent": (use.Restorer, y, y_test)}
    for name, (make, inputs, inputs_test) in jobs.items():
        network, steps = trained_for(seconds, make, lambda net, n, given=inputs: use.train_denoiser(net, given, x, n))
        out |= {name: _decibels(use, x_test, use.restored(network, inputs_test)), f"{name}, steps": steps}
        click.echo(f"{name}: {out[name]} dB, {steps} steps")
    return out | {"training_seconds": seconds}


def _tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """(N, 28, 28) -> (N, 1, 28, 28) in 0..1."""
    return torch.tensor(pixels).unsqueeze(1).float() / 255


def _decibels(use: SimpleNamespace, x: torch.Tensor, x_hat: torch.Tensor) -> float:
    return round(use.psnr(x, x_hat), 2)


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    classifier, denoising = results["classifier"], results["denoising"]
    trained = f"{denoising['training_seconds']:.0f} s of training"
    rows = [
        (f"classifier of latents, files of {classifier['bytes']} B", f"{classifier['test_accuracy']:.2%}"),
        (f"noisy digits, standard deviation {denoising['deviation']}", f"{denoising['noisy']} dB"),
        *(
            (f"coded at quality {row['quality']}, effort {row['effort']}", f"{row['psnr_db']} dB")
            for row in denoising["coding"]
        ),
        (f"drawn from latents of quality 50, effort 0, {trained}", f"{denoising['from the latent']} dB"),
        (f"plain denoiser, {trained}", f"{denoising['plain denoiser']} dB"),
    ]
    lines = [f"| {results['test_digits']:,} test digits | |", "|---|---|", *(f"| {name} | {figure} |" for name, figure in rows)]
    return "\n".join(lines)


def with_table(page: str, results: dict[str, Any]) -> str:
    """A page with the table between its markers."""
    before, rest = page.split("<!-- uses -->")
    return f"{before}<!-- uses -->\n{table(results)}\n<!-- /uses -->{rest.split('<!-- /uses -->')[1]}"


@click.command()
@click.argument("files", type=click.Path(exists=True, path_type=Path), nargs=4)
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="Folder that keeps the symbols.")
@click.option("--seconds", default=60.0, show_default=True, help="Processor time of the training of each denoiser.")
@click.option("--threads", default=1, show_default=True, help="Of torch.")
def main(files: tuple[Path, ...], cache: Path | None, seconds: float, threads: int) -> None:
    """Write ``docs/notebooks/latent-uses.json``."""
    torch.set_num_threads(threads)
    data = dict(zip(("train", "train labels", "test", "test labels"), map(read_idx, files), strict=True))
    use = shared_functions()
    coded = Symbols(use, cache)
    results: dict[str, Any] = {
        "command": "python benchmarks/latent_uses.py TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "training_digits": TRAINING,
        "test_digits": len(data["test"]),
    }
    results["classifier"] = classification(use, coded, data)
    click.echo(results["classifier"])
    results["denoising"] = denoising(use, coded, data, seconds)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(with_table(PAGE.read_text(), results))
    click.echo(json.dumps(results["denoising"]))


if __name__ == "__main__":
    main()
