"""The recipes of the shipped models, and :func:`train`, which leads from images to a model file, its report and its card.

A recipe with the same seed on the same machine gives the same model. A stopped run resumes from its last complete epoch.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mnistzip import metrics
from mnistzip.api import decode_many, encode_many
from mnistzip.bitstream.stored import store
from mnistzip.coding.lossless import encode_files, encode_payloads, lossless_header, pixel_symbols
from mnistzip.models.registry import SHIPPED, Model, read_model
from mnistzip.storage.atomic import AtomicFile
from mnistzip.training import distributed
from mnistzip.training.baselines import compare
from mnistzip.training.classic import AUTOENCODER, Classic, ClassicConfig, float_psnr, train_classic
from mnistzip.training.export import Arrays, export, export_pixels
from mnistzip.training.model_card import card
from mnistzip.training.pixel_stages import PixelStage, measure, train_pixel_stage
from mnistzip.training.quality_levels import choose
from mnistzip.training.rd_model import Coder
from mnistzip.training.run_folder import report_paths
from mnistzip.training.splits import Split
from mnistzip.training.stages import Stage, cost_of_integers, train_stage
from mnistzip.training.torch_codec import Codec, Config, Sizes, qualities
from mnistzip.training.torch_layers import dequantize, quantize
from mnistzip.training.torch_pixel_model import PixelConfig, PixelModel
from mnistzip.training.trainer import FlushDenormals, Run, Schedule, StageTrainer

REPORTED = (1, 10, 25, 50, 75, 90, 100)  # qualities in the report on held-out images
REPORT_IMAGES = 1000
COMPARED_IMAGES = 250  # in the comparison at the default effort with several models


@dataclass(frozen=True)
class Recipe:
    """A configuration and the schedules of all stages.

    Attributes:
        autoencoder: schedule of the autoencoder of ``classic``, before it becomes a codec.
        pixels: the pixel model, or None for a model without one.
        pixel_stages: stages of the pixel model.
    """

    config: Config
    stages: tuple[Stage, ...]
    autoencoder: Schedule | None = None
    pixels: PixelConfig | None = None
    pixel_stages: tuple[PixelStage, ...] = ()

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of all stages, in the order of training."""
        first = () if self.autoencoder is None else (AUTOENCODER,)
        return (*first, *(stage.name for stage in self.stages), *(stage.name for stage in self.pixel_stages))


RECIPES = {
    "mnist": Recipe(
        Config(),
        (
            Stage("rounded", Schedule(epochs=85, batch=256, rate=8e-3, matrix_rate=0.02, end=0.06), changed=0.5),
            Stage("searched", Schedule(epochs=5, batch=256, rate=6e-4, matrix_rate=1.5e-3, warm_up=100, end=0.3), passes=3),
            Stage("integers", Schedule(epochs=4, batch=256, rate=2e-4, matrix_rate=5e-4, warm_up=50), passes=1, quantized=True),
        ),
        pixels=PixelConfig(),
        pixel_stages=(
            PixelStage("pixels-1", Schedule(epochs=3, batch=64, rate=2e-3, matrix_rate=0.02, warm_up=200, fall_over=24)),
            PixelStage("pixels-2", Schedule(epochs=3, batch=96, rate=2e-3, matrix_rate=0.02, warm_up=50, fall_over=15)),
            PixelStage("pixels-3", Schedule(epochs=10, batch=96, rate=1.8e-3, matrix_rate=0.018, warm_up=20)),
        ),
    ),
    "mnist-fast": Recipe(
        Config(width=48, hidden=32, blocks=2, prior_width=10, prior_hidden=5, symbol_max=15),
        (
            Stage("rounded", Schedule(epochs=70, batch=256, rate=8e-3, matrix_rate=0.02, end=0.06), changed=0.5),
            Stage("searched", Schedule(epochs=4, batch=256, rate=6e-4, matrix_rate=1.5e-3, warm_up=100, end=0.3), passes=3),
            Stage("integers", Schedule(epochs=4, batch=256, rate=2e-4, matrix_rate=5e-4, warm_up=50), passes=1, quantized=True),
        ),
        pixels=PixelConfig(ink=32, solid=48, level=64, shade=96, key=8),
        pixel_stages=(PixelStage("pixels", Schedule(epochs=8, batch=96, rate=2e-3, matrix_rate=0.02, warm_up=200)),),
    ),
    # An encoder for microcontrollers: a small analysis, a small prior, weights of 8 bits. Its streams are not searched.
    "mnist-micro": Recipe(
        Config(
            width=96,
            hidden=48,
            blocks=2,
            prior_width=4,
            prior_hidden=2,
            symbol_max=6,
            lmbda_high=400.0,
            analysis=Sizes(width=32, hidden=24, blocks=1),
            encoder_weight_max=128,
        ),
        (
            Stage("rounded", Schedule(epochs=70, batch=256, rate=8e-3, matrix_rate=0.02, end=0.02), changed=0.5),
            Stage("integers", Schedule(epochs=6, batch=256, rate=4e-4, matrix_rate=1e-3, warm_up=50), quantized=True),
        ),
    ),
    # For images from mnistzip.training.glyphs; with 150,000 images none needs to be varied.
    "glyph": Recipe(
        Config(width=64, hidden=32, blocks=2, prior_width=12, prior_hidden=6, symbol_max=31, lmbda_low=4.0, lmbda_high=4000.0),
        (
            Stage("rounded", Schedule(epochs=24, batch=128, rate=8e-3, matrix_rate=0.02, end=0.06)),
            Stage("searched", Schedule(epochs=2, batch=192, rate=6e-4, matrix_rate=1.5e-3, warm_up=100, end=0.3), passes=3),
            Stage("integers", Schedule(epochs=2, batch=192, rate=2e-4, matrix_rate=5e-4, warm_up=50), passes=1, quantized=True),
        ),
        pixels=PixelConfig(ink=32, solid=48, level=64, shade=96, key=8),
        pixel_stages=(PixelStage("pixels", Schedule(epochs=3, batch=64, rate=2e-3, matrix_rate=0.02, warm_up=200)),),
    ),
    # The autoencoder trains as usual: batches of 20, Adam with rate 0.001, 10 epochs.
    "classic": Recipe(
        ClassicConfig(),
        (Stage("refit", Schedule(epochs=6, batch=128, rate=3e-3), quantized=True, frozen=True, fresh_head=True),),
        Schedule(epochs=10, batch=20, rate=1e-3, constant=True, momentum=(0.9, 0.999), decay=0.0),
    ),
}


@FlushDenormals()
def train(
    split: Split, data: dict[str, Any], name: str, out: Path, run: Run, recipe: Recipe | None = None, force: bool = True
) -> dict[str, Any]:
    """Train a model, or resume its training, and write its file, report and card.

    Args:
        split: the images.
        data: description of the images for the report.
        name: of the recipe.
        out: the ``.npz`` to write; the report (``.json``) and the model card (``.md``) go next to it.
        run: its folder contains the checkpoints of a run to resume. A stopped run gives a model of the weights at that time.
        recipe: replaces the recipe of that name.
        force: replace files that other programs wrote to these paths during the training.

    Returns:
        The report: data, seed, seconds, configuration, results on held-out images, SHA-256 of the file. In processes other
        than the leader it is empty.
    """
    recipe = recipe or RECIPES[name]
    run.log(f"{len(split.train)} images to train on, {len(split.held_out)} held out")
    extra: dict[str, Any] = {}
    codec: Codec | Classic
    trainers = []
    torch.manual_seed(run.seed)
    if isinstance(recipe.config, ClassicConfig):
        assert recipe.autoencoder is not None
        codec, trainer = train_classic(split, recipe.config, recipe.autoencoder, run)
        trainers.append(trainer)
        extra["float_psnr_db"] = float_psnr(codec, split.held_out.float() / metrics.PEAK)
        torch.manual_seed(run.seed)
    else:
        codec = Codec(recipe.config)
    coder = Coder(codec).to(run.device)
    with run.device:
        trainers += [train_stage(coder, split.to(run.device), stage, run) for stage in recipe.stages]
        quantize(coder.eval())
    coder.cpu()
    pixels: Arrays = {}
    if recipe.pixels is not None:
        pixel_trainers, pixels, lossless = train_pixels(split, recipe, run)
        trainers += pixel_trainers
        extra |= {"lossless": lossless} if pixels else {}
    if not distributed.is_leader():
        return {}
    levels = qualities() if isinstance(codec, Classic) else choose(coder, split.held_out, run)
    content = export(coder, levels, pixels)
    model = read_model(content, out.stem, SHIPPED.get(out.stem))  # checks the exactness of all sums before anything is written
    if pixels:
        images = list(split.held_out[:REPORT_IMAGES, 0].numpy())
        extra["lossless"] |= lossless_sizes(model, images)
        if not pays(extra["lossless"]):
            run.log(omission_message(extra.pop("lossless")))
            pixels = {}
            content = export(coder, levels)
            model = read_model(content, out.stem, SHIPPED.get(out.stem))
    report = {
        "model": out.stem,
        "recipe": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "fingerprint": model.fingerprint.hex(),
        "bytes": len(content),
        "data": data | {"train": len(split.train), "held_out": len(split.held_out)},
        "seed": run.seed,
        "stopped": run.stopping,
        "config": recipe.config.as_dict(),
        "stages": [_described_stage(trainer) for trainer in trainers],
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "threads": torch.get_num_threads(),
        "processes": distributed.process_count(),
        "device": run.device.type,
        "held_out": held_out_results(model, split),
        "integers": cost_of_integers(coder, split.held_out[:REPORT_IMAGES].float() / metrics.PEAK, levels),
        "levels": [round(level, 4) for level in levels.tolist()],
        "beside": compare(model, list(split.held_out[:COMPARED_IMAGES, 0].numpy())),
        **extra,
    }
    report_path, card_path = report_paths(out)
    _write(out, content, force)
    _write(report_path, json.dumps(report, indent=2).encode() + b"\n", force)
    _write(card_path, card(report, command_of(report)).encode(), force)
    return report


def lossless_sizes(model: Model, images: list[NDArray[np.uint8]]) -> dict[str, float]:
    """Mean bytes of lossless files.

    Returns:
        ``file_bytes``: of the files that the encoder writes; ``coded_bytes``: if the pixel model codes all images;
        ``stored_bytes``: if methods without a model code all images.
    """
    headers = [lossless_header(model, image.shape).to_bytes() for image in images]
    symbols = [each for each in pixel_symbols(model, images) if each is not None]
    payloads = encode_payloads(model, headers, images, symbols)
    means = {
        "file_bytes": encode_files(model, images, symbols),
        "coded_bytes": [header + payload for header, payload in zip(headers, payloads, strict=True)],
        "stored_bytes": [store(image) for image in images],
    }
    return {name: round(sum(map(len, files)) / len(files), 3) for name, files in means.items()}


def pays(sizes: dict[str, Any]) -> bool:
    """True if a pixel model makes lossless files smaller."""
    return bool(sizes["coded_bytes"] < sizes["stored_bytes"])


def omission_message(sizes: dict[str, Any]) -> str:
    """Message about a model file without its pixel model."""
    return (
        f"the pixel model is left out: lossless files of held-out images take {sizes['coded_bytes']:.1f} bytes with it and "
        f"{sizes['stored_bytes']:.1f} bytes without it"
    )


def command_of(report: dict[str, Any]) -> str:
    """The command that trains the model of a report."""
    data = report["data"]
    options = [f"{name} {value}" for name, value in data.get("options", {}).items()]
    arguments = [f"--recipe {report['recipe']}", *options, f"--seed {report['seed']}", f"-T {report['threads']}"]
    if report["device"] != "cpu":
        arguments.append(f"--device {report['device']}")
    command = "mnistzip" if report["processes"] == 1 else f"torchrun --nproc-per-node {report['processes']} -m mnistzip"
    return f"{command} train {data['source']} {' '.join(arguments)} -o {report['model']}.npz"


def train_pixels(split: Split, recipe: Recipe, run: Run) -> tuple[list[StageTrainer], Arrays, dict[str, Any]]:
    """Train the pixel model, or resume its training.

    Returns:
        Its trainers, its arrays, and mean bytes of held-out images for the report. The last two are empty if no epoch ended.
    """
    assert recipe.pixels is not None
    torch.manual_seed(run.seed)
    model = PixelModel(recipe.pixels)
    model.count_blank(split.train[:, 0])
    model.to(run.device)
    with run.device:
        trainers = [train_pixel_stage(model, split.to(run.device), stage, run) for stage in recipe.pixel_stages]
    model.cpu()
    if not any(trainer.epoch for trainer in trainers):  # stopped before the first epoch ended
        return trainers, {}, {}
    sizes: dict[str, Any] = {"config": recipe.pixels.as_dict()}
    images = split.held_out[:REPORT_IMAGES, 0]
    for name, switch in (("float", dequantize), ("integer", quantize)):
        switch(model.eval())
        sizes[f"{name}_bytes"] = {part: round(size, 4) for part, size in measure(model, images).items()}
    return trainers, export_pixels(model), sizes


def held_out_results(model: Model, split: Split) -> list[dict[str, float]]:
    """Mean file size and PSNR of the mean squared error of held-out images at effort 0, one row per quality."""
    images = split.held_out[:REPORT_IMAGES, 0].numpy()
    rows = []
    for quality in REPORTED:
        files = encode_many(images, quality=quality, effort=0, model=model)
        decoded = np.stack(decode_many(files, model=model))
        size = sum(map(len, files)) / len(files)
        rows.append({"quality": quality, "bytes": round(size, 3), "psnr_db": round(metrics.psnr(images, decoded), 3)})
    return rows


def _described_stage(trainer: StageTrainer) -> dict[str, Any]:
    fields = {"name": trainer.name, "seconds": round(trainer.seconds), **asdict(trainer.schedule), "epoch_steps": trainer.steps}
    return fields | {"momentum": list(trainer.schedule.momentum)}


def _write(path: Path, content: bytes, force: bool) -> None:
    with AtomicFile(path, new=not force) as file:
        file.write(content)
