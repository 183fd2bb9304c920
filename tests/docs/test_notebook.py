"""The notebook in docs/notebooks runs, and what it says is so."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

import mnistzip
from support.paths import ROOT

NOTEBOOKS = ROOT / "docs" / "notebooks"
NOTEBOOK = NOTEBOOKS / "from-autoencoder-to-codec.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]
FULL = json.loads((NOTEBOOKS / "latent-uses.json").read_text())
CHECK_BYTES = 2
BYTES_MAX = 1_500_000


def test_the_committed_notebook_is_executed_in_order_without_errors_and_of_modest_size() -> None:
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {(output["output_type"], output.get("name")) for cell in code for output in cell["outputs"]}
    assert kinds == {("stream", "stdout"), ("display_data", None), ("execute_result", None)}
    assert NOTEBOOK.stat().st_size <= BYTES_MAX


def test_its_cells_are_short() -> None:
    assert max(len("".join(cell["source"]).splitlines()) for cell in CELLS if cell["cell_type"] == "code") <= 25


def test_its_links_lead_to_files() -> None:
    text = "\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert len(links) >= 8
    for link in links:
        assert (NOTEBOOKS / link).exists(), link


def test_its_text_has_no_measured_figure() -> None:
    """Figures are in outputs, where running the notebook writes them."""
    text = "\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
    assert re.findall(r"\d(?:\.\d+)?(?: dB| bytes each|%)", text) == []


def test_no_test_digit_is_among_the_digits_that_it_trains_with() -> None:
    with mnistzip.Archive(NOTEBOOKS / "digits.cae") as training, mnistzip.Archive(NOTEBOOKS / "test-digits.cae") as test:
        assert (len(training), len(test)) == (5000, 179)
        assert training.labels is not None
        assert training.labels[:5].tolist() == [5, 0, 4, 1, 9]
        assert not {image.tobytes() for image in training} & {image.tobytes() for image in test}


def test_the_figures_of_all_digits_are_those_of_their_file() -> None:
    pytest.importorskip("torch", reason="needs nox -s install")
    import latent_uses

    page = (NOTEBOOKS / "README.md").read_text()
    assert latent_uses.with_table(page, FULL) == page
    outputs = [output.get("data", {}) for cell in CELLS for output in cell.get("outputs", ())]
    (shown,) = ["".join(data["text/markdown"]) for data in outputs if "text/markdown" in data]
    assert shown.strip() == latent_uses.table(FULL)


def test_the_classifier_of_latents_of_all_digits_is_as_good_as_promised() -> None:
    assert FULL["test_digits"] == 10_000
    assert FULL["training_digits"] == 55_000
    assert FULL["classifier"]["test_accuracy"] >= 0.98


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """The figures of a new run of the notebook, from its last cell."""
    for library in ("torch", "matplotlib", "ipykernel", "nbclient"):
        pytest.importorskip(library, reason="needs nox -s install")
    import run_notebook

    (output,) = run_notebook.executed().cells[-1].outputs
    figures: dict[str, Any] = json.loads(output.text)
    return figures


@pytest.mark.slow
@pytest.mark.torch
class TestExecuted:
    def test_a_prior_that_knows_more_takes_fewer_bytes(self, results: dict[str, Any]) -> None:
        names = ("one", "of each channel", "of each channel and position")
        bits = [results[f"histogram, {name}"]["ideal_bytes"] for name in names]
        bits += [results["autoregressive"]["ideal_bytes"]]
        assert bits[0] > bits[1] > bits[2] > bits[3]
        assert bits[0] < results["rounded"]["bytes"][results["rounded"]["step"].index(0.2)]

    def test_real_bytes_are_close_to_the_ideal_code_length(self, results: dict[str, Any]) -> None:
        for name in ("histogram, one", "histogram, of each channel and position", "autoregressive"):
            extra = results[name]["bytes"] - results[name]["ideal_bytes"]
            assert CHECK_BYTES <= extra <= CHECK_BYTES + 1, name

    def test_every_damaged_byte_is_noticed(self, results: dict[str, Any]) -> None:
        assert results["damage"]["noticed"] == results["damage"]["positions"] > 10

    def test_a_larger_step_gives_fewer_bytes_and_more_error(self, results: dict[str, Any]) -> None:
        assert results["rounded"]["bytes"] == sorted(results["rounded"]["bytes"], reverse=True)
        assert results["rounded"]["psnr_db"] == sorted(results["rounded"]["psnr_db"], reverse=True)
        assert results["plain, no rounding"]["psnr_db"] > results["rounded"]["psnr_db"][1]

    def test_training_for_rate_takes_fewer_bytes_for_the_same_quality(self, results: dict[str, Any]) -> None:
        before = sorted((row["psnr_db"], row["bytes"]) for row in results["before"])
        for row in results["after"]:
            same_quality = np.interp(row["psnr_db"], *zip(*before, strict=True))
            assert row["bytes"] < 0.9 * same_quality

    def test_a_search_lowers_the_cost(self, results: dict[str, Any]) -> None:
        curve = sorted((row["bytes"], row["psnr_db"]) for row in results["unsearched"])
        for without, searched in zip(results["unsearched"], results["searched"], strict=True):
            assert searched["J"] < without["J"]
            assert searched["psnr_db"] > np.interp(searched["bytes"], *zip(*curve, strict=True))

    def test_the_shipped_model_beats_all_that_came_before_it(self, results: dict[str, Any]) -> None:
        best = max(results["mnistzip"], key=lambda row: row["psnr_db"])
        middle = next(row for row in results["mnistzip"] if row["quality"] == 50)
        for row in (*results["before"], *results["after"], *results["searched"]):
            assert best["psnr_db"] > row["psnr_db"]
            assert middle["psnr_db"] > row["psnr_db"]
        assert best["bytes"] < min(row["bytes"] for row in results["webp"])
        assert best["bytes"] < results["png"]["bytes"] < 784

    def test_the_latent_says_more_about_the_label_than_pixels_say_to_a_linear_classifier(self, results: dict[str, Any]) -> None:
        accuracy = results["classifier"]
        assert accuracy["network on latents"] > accuracy["linear on pixels"] + 0.03

    def test_coding_brings_noisy_digits_closer_to_clean_ones(self, results: dict[str, Any]) -> None:
        denoising = results["denoising"]
        best = max(row["psnr_db"] for row in denoising["coding"])
        assert best > denoising["noisy"] + 3
        assert denoising["from the latent"] > denoising["same files"]
        assert denoising["plain denoiser"] > denoising["noisy"] + 3

    def test_the_nearest_latent_has_the_same_label(self, results: dict[str, Any]) -> None:
        assert results["nearest"]["latents"] > 0.85
