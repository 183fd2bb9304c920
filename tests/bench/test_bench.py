"""The benchmark: every codec does what its row says, and a second count gives the same figures."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

pytest.importorskip("skimage")
pytest.importorskip("imagecodecs")

from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mnistzip import api
from mnistzip.bench import runner as runs
from mnistzip.bench.measure import Measurement, crop, measure
from mnistzip.bench.message_budgets import LINKS, budgets
from mnistzip.bench.protocol import Coder, SingleImageCoder
from mnistzip.bench.registry import BenchJob, Kind, codecs_by_name, select_jobs
from mnistzip.bench.results import Row, read_results, rows_of
from mnistzip.bench.runner import BenchRun, choose_samples
from mnistzip.bench.ssim import ms_ssim, ssim
from mnistzip.cli.main import run
from mnistzip.errors import FormatError, ModelError, OptionError
from mnistzip.io.readers import Source
from mnistzip.models import registry
from mnistzip.types import Pixels
from support.paths import DIGITS, ROOT

SCHEMA = json.loads((ROOT / "bench" / "results.schema.json").read_text())


def quietly(_done: int) -> None:
    """Progress that nobody looks at."""


def test_a_change_of_any_module_of_the_codec_makes_old_measurements_stale() -> None:
    names = dict(runs.sources())
    assert {"mnistzip.api", "mnistzip.entropy.rans", "mnistzip.models.pixel.planes", "mnistzip.bench.measure"} <= names.keys()
    assert not any(name.startswith("mnistzip.training") for name in names)


def test_every_entry_of_the_list_codes_and_decodes_digits(digits: Pixels) -> None:
    for job in select_jobs(["all"]):
        if job.codec.on_request and job.setting != "q10":
            continue  # one setting of a slow codec is enough
        images = digits[:2] if job.codec.on_request else np.concatenate([digits, digits])[: 100 if "dict" in job.key else 8]
        measured = measure(job, list(images), [0, 1], quietly)
        assert measured.sizes.min() > 1, job.key
        if job.codec.name not in ("auto", "auto-e0", "mnistzip-bounded"):  # which keep every pixel of digits if that costs less
            assert (measured.sse.sum() > 0) == (job.codec.kind is Kind.LOSSY), job.key
        if job.codec.kind is Kind.LOSSY:
            assert 0.5 < np.mean(measured.ssim) <= 1, job.key
            assert np.square(measured.samples[0].astype(int) - digits[0]).sum() == measured.sse[0], job.key
        else:
            assert (measured.samples[0] == digits[0]).all(), job.key
        assert job.codec.versions(), job.key


def test_settings_of_a_lossy_codec_trade_size_for_quality(digits: Pixels) -> None:
    for name in ("mnist-e0", "webp", "jpeg", "jpeg2000", "jpegls", "jpegxl", "avif"):
        done = [measure(job, list(digits[:16]), [0], quietly) for job in select_jobs([name]) if job.codec.name == name]
        by_size = sorted(done, key=lambda measured: measured.sizes.sum())
        errors = [int(measured.sse.sum()) for measured in by_size]
        assert errors == sorted(errors, reverse=True), name


def test_names_patterns_and_settings_choose_codecs() -> None:
    keys = [job.key for job in select_jobs(["jpeg*", "mnist@q50"])]
    assert keys[0] == "mnist@q50"
    assert {"png", "jpeg@q10", "jpegxl@d5", "jpegls-lossless"} <= set(keys)
    assert "webp@q10" not in keys
    assert not any(job.codec.on_request for job in select_jobs([]))
    assert not any(job.codec.on_request for job in select_jobs(["mnist*"]))
    assert any(job.codec.on_request for job in select_jobs(["mnist-e9@q*"]))
    assert any(job.codec.on_request for job in select_jobs(["all"]))
    with pytest.raises(OptionError, match="no codec 'gif': known are auto, auto-e0, mnist, mnist-e0"):
        select_jobs(["gif"])
    with pytest.raises(OptionError, match="no codec 'webp@q11': its settings are q0, q5"):
        select_jobs(["webp@q11"])


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes for 64 digits and a few codecs."""
    folder = tmp_path_factory.mktemp("bench") / "out"
    wanted = "mnist-e0@q25,mnist-e0@q50,mnist-e0@q75,mnistzip-lossless,webp@q10,webp@q0,jpeg@q10,sheet-png"
    assert run(["bench", str(DIGITS), "-o", str(folder), "--codecs", wanted, "--save-files", "-T", "2", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def rows(out: Path) -> dict[str, Row]:
    """Its rows by their keys."""
    return {row.key: row for row in read_results(out / "results.json").rows}


@pytest.mark.parametrize("key", ["mnist-e0@q25", "mnistzip-lossless", "webp@q10", "jpeg@q10", "png", "sheet-png"])
def test_sizes_are_those_of_files_on_disk(key: str, out: Path, rows: dict[str, Row]) -> None:
    row = rows[key]
    sizes = [os.stat(path)[stat.ST_SIZE] for path in (out / "files" / key).iterdir()]
    assert len(sizes) == (1 if row.kind == "solid" else 64)
    assert row.mean_bytes == round(sum(sizes) / 64, 3)
    assert row.bpp == round(8 * sum(sizes) / (64 * 784), 5)
    assert row.ratio_raw == round(64 * 784 / sum(sizes), 3)
    pngs = sum(os.stat(path)[stat.ST_SIZE] for path in (out / "files" / "png").iterdir())
    assert row.ratio_png == round(pngs / sum(sizes), 3)
    if row.kind != "solid":
        assert row.median_bytes == round(float(np.median(sizes)), 1)
        assert row.p95_bytes == round(float(np.percentile(sizes, 95)), 1)


@pytest.mark.parametrize("key", ["mnist-e0@q25", "mnist-e0@q75", "webp@q0", "webp@q10", "jpeg@q10"])
def test_quality_is_what_a_second_library_counts_in_those_files(
    key: str, out: Path, rows: dict[str, Row], digits: Pixels
) -> None:
    files = [out / "files" / key / f"{index}.bin" for index in range(64)]
    if key.startswith("mnist"):
        decoded = np.stack(api.decode_many([path.read_bytes() for path in files]))
    else:
        decoded = np.stack([np.asarray(Image.open(path).convert("L")) for path in files])
    lossy = [(a, b) for a, b in zip(digits, decoded, strict=True) if (a != b).any()]
    each = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in lossy]
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    similar = [structural_similarity(a, b, **options) for a, b in zip(digits, decoded, strict=True)]
    row = rows[key]
    assert row.psnr_db == round(float(peak_signal_noise_ratio(digits, decoded, data_range=255)), 4)
    assert row.identical == len(digits) - len(lossy)
    assert row.mean_psnr_db == (None if row.identical else round(float(np.mean(each)), 4))
    assert row.ssim == round(float(np.mean(similar)), 5)


def test_results_follow_the_documented_schema_and_the_csv_tells_the_same(out: Path, rows: dict[str, Row]) -> None:
    output = json.loads((out / "results.json").read_text())
    jsonschema.validate(output, SCHEMA)
    described = SCHEMA["properties"]["rows"]["items"]["properties"]
    assert list(described) == [field.name for field in fields(Row)]
    table = list(csv.DictReader(io.StringIO((out / "results.csv").read_text())))
    assert [line["mean_bytes"] for line in table] == [str(row.mean_bytes) for row in rows.values()]
    assert output["data"]["images"] == 64
    assert {entry["bytes"] for entry in output["budgets"]} == set(LINKS)
    assert all("error" not in line or not line["error"] for line in table)


def test_our_rows_tell_header_and_ideal_code_length(rows: dict[str, Row]) -> None:
    row = rows["mnist-e0@q50"]
    assert row.header_bytes == 3
    assert row.ideal_bytes is not None
    assert row.mean_bytes is not None
    assert 2 < row.mean_bytes - row.header_bytes - row.ideal_bytes < 3.6
    assert rows["webp@q10"].header_bytes is None


def test_bd_rate_against_webp_and_jpeg_is_told(out: Path) -> None:
    output = {(entry["codec"], entry["against"]): entry for entry in read_results(out / "results.json").bd_rate}
    assert output[("mnist-e0", "webp")]["percent"] < -60
    assert output[("mnist-e0", "jpeg")] == {"codec": "mnist-e0", "against": "jpeg", "percent": None, "range_db": None}


def test_what_is_done_is_not_done_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["webp@q10", "webp@q20", "jpeg@q10"]
    arguments = ["bench", str(DIGITS), "-o", str(out), "--save-files", "--quiet", "--codecs"]
    started = []
    popen = runs.subprocess.Popen

    def watched(command: list[str], **options: Any) -> Any:
        started.append(Path(command[-1]).stem)
        return popen(command, **options)

    monkeypatch.setattr(runs.subprocess, "Popen", watched)
    assert run([*arguments, ",".join(wanted)]) == 0
    assert started == ["webp@q20"]
    assert run([*arguments, "webp@q10", "--fresh"]) == 0
    assert sorted(started) == ["png", "webp@q10", "webp@q20"]
    damaged = out / runs.MEASUREMENTS / "webp@q20.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert run([*arguments, "webp@q20"]) == 0
    assert started[-1] == "webp@q20"
    assert run([*arguments, "webp@q20", "--limit", "9"]) == 0  # other images
    assert started[-2:] == ["webp@q20", "png"] or started[-2:] == ["png", "webp@q20"]


def test_an_interrupt_keeps_what_is_done(tmp_path: Path, digits: Pixels) -> None:
    jobs = select_jobs(["jpeg@q10", "webp@q10", "png-zopfli"])
    every = BenchRun(Source("digits", list(digits), [""] * 64), jobs, tmp_path)

    def interrupted(job: BenchJob, _done: int) -> None:
        if job.key == "jpeg@q10":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        every.outcomes(interrupted)
    saved = {path.name for path in (tmp_path / runs.MEASUREMENTS).iterdir()}
    assert "png-zopfli.npz" in saved  # the longest went first
    assert not any(".json" in name or ".partial" in name or name.startswith("images") for name in saved)
    assert isinstance(every.outcomes(lambda _job, _done: None)["webp@q10"], Measurement)


def test_the_command_is_interrupted_at_once_and_goes_on_where_it_was(tmp_path: Path) -> None:
    program = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from mnistzip.cli.main import main
main(sys.argv[1:])
"""
    arguments = ["bench", str(DIGITS), "-o", str(tmp_path), "--codecs", "png-zopfli,mnist-e6@q50,webp@q10"]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    saved = tmp_path / runs.MEASUREMENTS / "png-zopfli.npz"
    deadline = time.monotonic() + 120
    while not saved.exists() and time.monotonic() < deadline:  # the slowest goes first
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, output = process.communicate(timeout=600)
    assert process.returncode == 130
    assert output.strip() == b"mnistzip: interrupted"
    assert not out
    assert not (tmp_path / "results.json").exists()
    assert run([*arguments, "--quiet"]) == 0
    assert len(read_results(tmp_path / "results.json").rows) == 4


def test_a_codec_that_takes_its_process_down_is_a_row(tmp_path: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    killer, python = tmp_path / "python", sys.executable
    killer.write_text(f"#!{python}\nimport os\nos.kill(os.getpid(), {int(signal.SIGSEGV)})\n")
    killer.chmod(0o755)
    monkeypatch.setattr(runs.sys, "executable", str(killer))
    (row,) = rows_of(*outcomes_of(digits, select_jobs(["png"])))
    assert row.error == "the process was ended by SIGSEGV"
    killer.write_text(f"#!{python}\nimport sys\nprint('out of luck', file=sys.stderr)\nsys.exit(3)\n")
    (row,) = rows_of(*outcomes_of(digits, select_jobs(["png"])))
    assert row.error == "the process ended with code 3: out of luck"


def outcomes_of(digits: Pixels, jobs: list[BenchJob]) -> tuple[BenchRun, dict[str, runs.Outcome]]:
    every = BenchRun(Source("digits", list(digits), [""] * len(digits)), jobs)
    return every, every.outcomes(lambda _job, _done: None)


def test_a_dictionary_learns_from_all_images_of_the_other_half(digits: Pixels) -> None:
    (job,) = [job for job in select_jobs(["zstd-dictionary"]) if job.key == "zstd-dictionary"]
    measured = measure(job, [*digits] * 17, [0], quietly)  # more than go through together elsewhere
    assert measured.sse.sum() == 0
    assert measured.sizes.mean() < 250


def test_a_codec_that_fails_is_a_row_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", str(DIGITS), "--codecs", "zstd-dictionary,deflate"]) == 0
    output = capsys.readouterr().out
    assert "a dictionary needs at least 100 images" in output
    assert "deflate" in output


def test_a_codec_whose_library_is_missing_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = next(job for job in select_jobs([]) if job.codec.name == "jpegxl")
    missing = replace(job.codec, needs=("no_such_library",))
    assert missing.missing() == "needs no_such_library: pip install 'mnistzip[bench]'"
    monkeypatch.setattr("mnistzip.bench.registry.importlib.util.find_spec", lambda _name: None)
    monkeypatch.setenv("COLUMNS", "100")
    assert run(["bench", "--list"]) == 0
    assert "needs imagecodecs: pip install 'mnistzip[bench]'" in capsys.readouterr().out


def changed(image: Pixels) -> Coder:
    """A coder that gives back another image."""
    return SingleImageCoder(lambda image: image.tobytes(), lambda _file, _shape: image)


def test_a_lossless_codec_that_loses_a_pixel_is_found_out(digits: Pixels) -> None:
    other = digits[0].copy()
    other[3, 3] ^= 1
    entry = replace(codecs_by_name()["raw"], make=lambda: changed(other))
    with pytest.raises(FormatError, match="not lossless: image 0"):
        measure(BenchJob(entry, "", {}), [digits[0]], [0], quietly)
    entry = replace(codecs_by_name()["jpeg"], make=lambda: changed(other[:, :5]))
    with pytest.raises(FormatError, match="was decoded as uint8 of shape"):
        measure(BenchJob(entry, "", {}), [digits[0]], [0], quietly)


@pytest.mark.parametrize(("name", "argument"), [("mnistzip-bounded", "max_error"), ("jpegls", "level")])
def test_a_codec_that_breaks_its_bound_is_found_out(digits: Pixels, name: str, argument: str) -> None:
    other = digits[0].copy()
    other[3, 3] += 5
    entry = replace(codecs_by_name()[name], make=lambda **_: changed(other))
    assert measure(BenchJob(entry, "n5", {argument: 5}), [digits[0]], [0], quietly).sse[0] == 25
    with pytest.raises(FormatError, match="not within 4 grey levels: image 0"):
        measure(BenchJob(entry, "n4", {argument: 4}), [digits[0]], [0], quietly)


def test_a_measurement_is_read_back_as_it_was_kept(digits: Pixels) -> None:
    (job,) = [job for job in select_jobs(["webp@q10"]) if job.codec.name == "webp"]
    measured = measure(job, [digits[0], digits[1][:, :9], digits[2]], [0, 1], quietly)
    back, stamp = Measurement.from_bytes(measured.to_bytes("stamp"))
    assert stamp == "stamp"
    for field in fields(Measurement):
        np.testing.assert_equal(getattr(back, field.name), getattr(measured, field.name))
    with pytest.raises(FormatError, match="not a measurement"):
        Measurement.from_bytes(b"PK nonsense")


def test_images_of_all_sizes_go_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    for index, shape in enumerate([(64, 96), (200, 180), (30, 41), (5, 7), (1, 1)]):
        smooth = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 256
        noisy = np.clip(smooth + rng.normal(0, 9, shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / f"photo{index}.png")
    assert run(["bench", str(tmp_path), "--codecs", "mnist-e0@q50,webp@q10,deflate,sheet-png", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    jsonschema.validate(output, SCHEMA)
    rows = {row["codec"] + row["setting"]: row for row in output["rows"]}
    assert rows["sheet-png"]["error"] == "images of 5 different sizes do not fit into one sheet"
    assert rows["webpq10"]["error"] is None
    assert 0.5 < rows["webpq10"]["ms_ssim"] < 1  # of the one that is large enough
    assert output["data"]["width"] == [1, 180]


def test_one_image_and_identical_images(tmp_path: Path, digit: Pixels, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "black.npy"
    np.save(path, np.zeros((6, 28, 28), np.uint8))
    one = tmp_path / "one.png"
    Image.fromarray(digit).save(one)
    for data in (path, one):
        assert run(["bench", str(data), "--codecs", "mnist-e0@q*0,webp@q*0,sheet-webp", "-T", "2"]) == 0
        output = capsys.readouterr().out
        assert "not measured" not in output
        assert max(map(len, output.splitlines())) <= 100
        assert not re.search(r"\d…", output)


def test_tables_keep_their_figures_on_narrow_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["bench", str(DIGITS), "--codecs", "mnist-e0@q50,classic@q50,webp@q10", "--limit", "2"]) == 0
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    assert not re.search(r"\d…", output)


def test_a_library_that_is_missing_for_the_curves_costs_the_curves_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("mnistzip.bench.curves", "mnistzip.bench.compare", "mnistzip.cli.bench"):
        monkeypatch.setattr(f"{module}.CAN_INTERPOLATE", False)
    out = str(tmp_path / "out")
    assert run(["bench", str(DIGITS), "--codecs", "mnist-e0@q*0,webp@q10", "--limit", "3", "-o", out]) == 0
    output = capsys.readouterr()
    assert "BD-rate: change" not in output.out
    assert "BD-rate needs scipy: pip install 'mnistzip[bench]'" in output.err


def test_bad_calls_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for code, says, arguments in (
        (2, "give images: files", []),
        (2, "--save-files needs a folder", [str(DIGITS), "--save-files"]),
        (2, "--fresh needs a folder", [str(DIGITS), "--fresh"]),
        (2, "takes two results.json: leave out the images", [str(DIGITS), "--compare", str(DIGITS), str(DIGITS)]),
        (1, "no images in", [str(tmp_path)]),
        (1, "no codec 'gif'", [str(DIGITS), "--codecs", "gif"]),
        (1, "no such file or folder", [str(tmp_path / "x.png")]),
    ):
        assert run(["bench", *arguments]) == code
        assert says in capsys.readouterr().err


def test_a_model_of_ones_own_is_measured_beside_the_others(tmp_path: Path, digits: Pixels) -> None:
    import mnistzip.pretrained

    own = tmp_path / "mine.npz"
    own.write_bytes((Path(mnistzip.pretrained.__file__).parent / "classic.npz").read_bytes())
    jobs = {job.key: job for job in select_jobs(["mine-e0@q50", "classic@q50"], str(own))}
    user_model, classic = (measure(jobs[key], list(digits[:4]), [0], quietly) for key in ("mine-e0@q50", "classic@q50"))
    assert (user_model.sse == classic.sse).all()
    assert (
        abs(user_model.sizes - classic.sizes - 4) <= 1
    ).all()  # four bytes of fingerprint; another check may round otherwise
    with pytest.raises(OptionError, match="rename the file"):
        select_jobs([], str(own.rename(tmp_path / "webp.npz")))


def test_a_model_is_named_as_compress_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mnistzip.pretrained

    content = (Path(mnistzip.pretrained.__file__).parent / "classic.npz").read_bytes()
    (tmp_path / "my.meters.npz").write_bytes(content)
    monkeypatch.setenv("MNISTZIP_MODEL_PATH", str(tmp_path))
    added = {job.codec.name for job in select_jobs([], "my.meters")} - {job.codec.name for job in select_jobs([])}
    assert added == {"my.meters", "my.meters-e0", "my.meters-lossless"}
    assert {job.codec.name for job in select_jobs([], str(tmp_path / "my.meters.npz"))} >= added
    for name, more in (("glyph", {"glyph", "glyph-e0", "glyph-lossless"}), ("auto", {"auto-lossless"})):
        assert {job.codec.name for job in select_jobs([], name)} - {job.codec.name for job in select_jobs([])} == more
    with pytest.raises(ModelError, match="no model 'nonsense'"):
        select_jobs([], "nonsense")


def test_the_command_takes_names_of_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", str(DIGITS), "--limit", "2", "--json", "--codecs", "glyph-e0@q50,auto-e0@q50", "--model", "glyph"]
    assert run([*command, "-o", str(tmp_path)]) == 0
    output = json.loads(capsys.readouterr().out)
    jsonschema.validate(output, SCHEMA)
    assert [row["codec"] for row in output["rows"]] == ["auto-e0", "glyph-e0", "png"]
    assert set(output["models"]) == {"mnist", "glyph", "grey"}
    assert run([*command[:-1], "nonsense"]) == 1
    assert "no model 'nonsense'" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["auto-e0@q50", "auto-lossless"])
def test_what_auto_codes_is_explained_by_the_model_of_each_file(key: str, digits: Pixels) -> None:
    letters = np.stack([np.roll(image.T, 3, axis=1)[::-1] for image in digits[:12]])
    images = [*digits[:12], *letters]
    (job,) = [job for job in select_jobs([key]) if job.key == key]
    files = api.encode_many(images, **job.arguments)
    assert len({api.info(file).model for file in files}) > 1
    measured = measure(job, images, [0], quietly)
    assert measured.header_bytes == sum(api.info(file).header_bytes for file in files)
    rest = (measured.sizes.sum() - measured.header_bytes - measured.ideal_bytes) / len(images)
    assert 1.5 < rest < 3.6  # check and coder, as for a model alone


def test_a_measurement_is_made_anew_where_a_model_that_auto_chooses_from_changed(
    digits: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = BenchRun(
        Source("digits", list(digits), [""] * 64), select_jobs(["auto@q50", "mnist@q50", "mnistzip-lossless", "png"])
    )
    before = {job.key: every._stamp(job) for job in every.jobs}
    shipped = registry.shipped
    changed = replace(shipped("glyph"), source="mnist-fast.npz", stored=None)
    changed.__dict__["fingerprint"] = b"other"
    monkeypatch.setattr(registry, "shipped", lambda name: changed if name == "glyph" else shipped(name))
    after = {job.key: every._stamp(job) for job in every.jobs}
    assert before["auto@q50"] != after["auto@q50"]
    assert before["mnist@q50"] == after["mnist@q50"]
    assert before["png"] == after["png"]


def test_progress_of_an_archive_moves_while_it_is_made(digits: Pixels) -> None:
    (job,) = [job for job in select_jobs(["archive"]) if job.key == "archive"]
    output: list[int] = []
    measure(job, list(digits), [0], output.append)
    assert output == sorted(output)
    assert len(set(output)) > 32
    assert output[-1] == 64


def test_budgets_take_the_best_setting_that_fits(digits: Pixels) -> None:
    every, outcomes = outcomes_of(digits, select_jobs(["webp@q0", "webp@q10", "deflate"]))
    output = {(entry["bytes"], entry["codec"]): entry for entry in budgets(every, outcomes, [130])}
    small, large = outcomes["webp@q0"], outcomes["webp@q10"]
    assert isinstance(small, Measurement)
    assert isinstance(large, Measurement)
    fits = (small.sizes <= 130) | (large.sizes <= 130)
    best = np.where(large.sizes <= 130, large.sse, small.sse)[fits]
    entry = output[(130, "webp")]
    assert entry["share"] == round(float(fits.mean()), 5)
    assert entry["psnr_db"] == round(float(10 * np.log10(255**2 * 784 * fits.sum() / best.sum())), 3)
    assert output[(11, "webp")] | {"share": 0, "psnr_db": None, "lossless": False} == output[(11, "webp")]
    assert output[(340, "deflate")]["lossless"]
    assert output[(340, "deflate")]["psnr_db"] is None


def test_samples_are_few_and_small() -> None:
    assert choose_samples([np.zeros((28, 28), np.uint8)] * 10_000) == [0, 1428, 2857, 4285, 5714, 7142, 8571, 9999]
    assert len(choose_samples([np.zeros((3000, 4000), np.uint8)] * 50)) == 4
    assert choose_samples([np.zeros((5, 5), np.uint8)]) == [0]
    assert crop(np.zeros((3000, 50), np.uint8)).shape == (96, 50)


def test_similarity_is_told_only_where_it_is_defined(digits: Pixels) -> None:
    tiny, large = np.zeros((8, 40), np.uint8), np.tile(digits[0], (7, 7))
    pair = [tiny, large, digits[0]]
    assert np.isnan(ssim(pair, pair)).tolist() == [True, False, False]
    assert np.isnan(ms_ssim(pair, pair)).tolist() == [True, False, True]
    blurred = (large // 2 + np.roll(large, 1, axis=0) // 2).astype(np.uint8)
    assert 0.3 < ms_ssim([large], [blurred])[0] < 0.999
