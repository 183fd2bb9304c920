"""Write the model card, a page in Markdown about the training and the results of a model, from its training report."""

from __future__ import annotations

from typing import Any

from mnistzip.training.baselines import table

ABOUT = {
    "mnist": "A variable-rate codec for handwritten digits of 28x28 pixels, trained for rate and distortion together.\n"
    "It has a residual convolutional analysis and synthesis at 7x7, conditioned on the quality, an autoregressive prior, and a "
    "pixel model for lossless files.",
    "mnist-fast": "A smaller version of `mnist` for many images.\n"
    "It encodes at effort 0 and decodes 1.6 to 2 times as fast as `mnist`; by numpy alone it is more than twice as fast.\n"
    "At equal bytes it is 0.8 dB below `mnist` around quality 50 and up to 1.5 dB below elsewhere.\n"
    "Its pixel model is 1.4 times as fast as that of `mnist`, and lossless files take some 5 bytes more.",
    "classic": "A plain convolutional autoencoder (28x28 to 16 to 4x7x7 and back, mean squared error, Adam) with a latent that "
    "was quantized after training, and an autoregressive prior.\n"
    "It is not trained for rate and serves as a baseline.",
    "grey": "A variable-rate codec for small greyscale pictures of any kind and size, fully convolutional, without tiles.\n"
    "FORMAT.md, sections 12 and 13, specifies it.",
    "mnist-micro": "A small encoder with a larger decoder, for microcontrollers with 160 kB of flash.\n"
    "Its prior and its analysis have weights of 8 bits; docs/microcontrollers.md has their sizes.\n"
    "It reaches from 6 to 25 bytes; it has no pixel model.",
    "mnist-bitmap": "A model of the black and white bitmaps that MNIST's digits were made from, for lossless files.\n"
    "It is a causal network on 200 earlier pixels, shared by all pixels.\n"
    "FORMAT.md, section 14, specifies it.",
    "glyph": "A small model for letters, digits and symbols of 28x28 pixels, for users without images to train on.",
}


def card(report: dict[str, Any], command: str) -> str:
    """Markdown of a training report, as :func:`mnistzip.training.recipes.train` returns it.

    Args:
        report: of the training.
        command: that trained the model.
    """
    data = report["data"]
    held_out = f"{data['held_out']} drawn at random" if data.get("drawn") else f"the last {data['held_out']}"
    minutes = sum(stage["seconds"] for stage in report["stages"]) / 60
    lines = [
        f"# Model `{report['model']}`",
        "",
        ABOUT.get(report["recipe"], "A codec trained on a user's images."),
        "",
        "| | |",
        "|---|---|",
        f"| data | `{data['source']}`: {data['train']} training images, {held_out} held out |",
        f"| command | `{command}` |",
        f"| seed | {report['seed']} |",
        f"| duration | {minutes:.0f} minutes with {report['threads']} thread{'s' * (report['threads'] > 1)} |",
        f"| versions | {', '.join(f'{name} {version}' for name, version in report['versions'].items())} |",
        f"| file | {report['bytes']} bytes |",
        f"| SHA-256 | `{report['sha256']}` |",
        f"| fingerprint | `{report['fingerprint']}` |",
        "",
    ]
    if report.get("stopped"):
        lines.append("- Training was stopped before its end.")
    lines += map(_described_stage, report["stages"])
    if "float_psnr_db" in report:
        lines.append(f"- As a float autoencoder, before rounding: {report['float_psnr_db']:.2f} dB on held-out images.")
    if "held_out" in report:
        lines += _lossy_tables(report)
    if "bitmaps" in report:
        lines += _bitmaps_table(report["bitmaps"])
    if "beside" in report:
        lines += [
            "",
            f"Compared with other formats, {report['beside']['images']} held-out images:",
            "",
            *table(report["beside"]),
        ]
    if "lossless" in report:
        lines += _lossless_table(report["lossless"])
    if "pixel_model" in report:
        lines += _pixel_model(report["pixel_model"])
    return "\n".join(lines) + "\n"


def _lossy_tables(report: dict[str, Any]) -> list[str]:
    """Lines on sizes and PSNR of lossy files."""
    lines = ["", "Whole files of held-out images at effort 0; PSNR is computed from the mean squared error:", ""]
    lines += ["| quality | mean size | PSNR |", "|---|---|---|"]
    lines += [f"| {row['quality']} | {row['bytes']:.2f} B | {row['psnr_db']:.2f} dB |" for row in report["held_out"]]
    lines += ["", "Cost of integers: the same weights in float and as integers, ideal code length, held-out images:", ""]
    lines += ["| quality | float | integer |", "|---|---|---|"]
    for row in report["integers"]:
        both = [f"{row[f'{kind}_bytes']:.3f} B, {row[f'{kind}_psnr_db']:.3f} dB" for kind in ("float", "integer")]
        lines.append(f"| {row['quality']} | {both[0]} | {both[1]} |")
    return lines


def _bitmaps_table(results: dict[str, Any]) -> list[str]:
    """Lines on the bitmaps of held-out digits."""
    share = results["bitmaps"] / results["digits"]
    return [
        "",
        f"{results['bitmaps']} of {results['digits']} held-out digits ({share:.2%}) follow exactly from a bitmap.",
        "Mean bytes of these digits:",
        "",
        "| | bytes |",
        "|---|---|",
        f"| pixels of the bitmap, ideal code length, float | {results['pixels_float']:.2f} B |",
        f"| the same, integers | {results['pixels_integer']:.2f} B |",
        f"| size and shift | {results['sizes']:.2f} B |",
        f"| whole file | {results['files']:.2f} B |",
    ]


def _described_stage(stage: dict[str, Any]) -> str:
    """A line on a stage of a training."""
    if "pixels" in stage:
        text = f"{stage['steps']} steps, batches of {stage['pixels']} pixels"
    else:
        text = f"{stage['epochs']} epochs, batches of {stage['batch']}"
    text += f", learning rate {stage['rate']:g}"
    if stage.get("matrix_rate") is not None:
        text += f" (Muon: {stage['matrix_rate']:g})"
    return f"- Stage *{stage['name']}*: {text}, {stage['seconds']} s."


def _pixel_model(about: dict[str, Any]) -> list[str]:
    """Lines on the pixel model of a model of the kind ``grey``."""
    lines = ["", "## Pixel model", "", "It codes lossless files, and files with a bounded error.", ""]
    if "command" in about:
        lines += [f"- Command: `{about['command']}`, seed {about['seed']}, {about['threads']} threads."]
    if about.get("stopped"):
        lines.append("- Its training was stopped before its end.")
    lines += [
        *map(_described_stage, about["stages"]),
        "",
        "Held-out images, ideal code length in float and as integers, and whole files:",
    ]
    lines += ["", "| largest error | float | integer | files |", "|---|---|---|---|"]
    for row in about["held_out"]:
        sizes = " | ".join(f"{row[f'{kind}_bytes']:.2f} B" for kind in ("float", "integer", "file"))
        lines.append(f"| {row['max_error']} | {sizes} |")
    return lines


def _lossless_table(sizes: dict[str, Any]) -> list[str]:
    """Lines on the sizes of lossless files."""
    integer, real = sizes["integer_bytes"], sizes["float_bytes"]
    parts = [name for name in integer if name != "bytes"]
    return [
        "",
        f"Lossless files of held-out images take {sizes['file_bytes']:.2f} B. Ideal code length of each plane:",
        "",
        f"| | {' | '.join(parts)} | together |",
        "|---" * (len(parts) + 2) + "|",
        f"| float | {' | '.join(f'{real[name]:.2f}' for name in parts)} | {real['bytes']:.2f} B |",
        f"| integer | {' | '.join(f'{integer[name]:.2f}' for name in parts)} | {integer['bytes']:.2f} B |",
    ]
