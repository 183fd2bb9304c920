"""The report of a benchmark, made from real measurements and opened in a real browser."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mnistzip.bench.curves import bd_rates
from mnistzip.bench.measure import Measurement, crop
from mnistzip.bench.message_budgets import LINKS, budgets
from mnistzip.bench.registry import select_jobs
from mnistzip.bench.report import samples, write as report
from mnistzip.bench.results import Results, about, rows_of
from mnistzip.bench.runner import BenchRun, Outcome
from mnistzip.cli.main import run as mnistzip
from mnistzip.io.output_folders import MARKER
from mnistzip.io.readers import Source
from mnistzip.metrics import psnr
from mnistzip.types import Pixels

pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install 'mnistzip[bench]'")
pytest.importorskip("jinja2", reason="the report needs jinja2: pip install 'mnistzip[bench]'")

CODECS = ["mnist-e0", "webp", "jpeg", "png", "deflate", "sheet-png"]
PLOTS = ("rate-distortion", "ratios", "sheet", "speed")
HOSTILE = "<script>alert(1)</script>.png"


@dataclasses.dataclass
class Made:
    """A report, and what it was made from."""

    out: Path
    run: BenchRun
    outcomes: dict[str, Outcome]
    results: Results

    @property
    def page(self) -> Path:
        return self.out / "report.html"

    @property
    def pictures(self) -> dict[str, Any]:
        return pictures_of(self.page.read_text())


def make(out: Path, images: list[Pixels], codecs: list[str], names: list[str] | None = None, name: str = "digits") -> Made:
    source = Source(name, images, names or [str(at) for at in range(len(images))])
    run = BenchRun(source, select_jobs(codecs), out, threads=2)
    return write(run, run.outcomes(lambda job, done: None), out)


def write(run: BenchRun, outcomes: dict[str, Outcome], out: Path) -> Made:
    rows = rows_of(run, outcomes)
    results = Results(about(run), rows, bd_rates(rows), budgets(run, outcomes, [64]))
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(results.to_json())
    assert report.write_report(run, outcomes, results, out) is None
    return Made(out, run, outcomes, results)


def pictures_of(page: str) -> dict[str, Any]:
    result = re.search(r'<script type="application/json" id="pictures">(.*?)</script>', page, re.DOTALL)
    assert result
    return json.loads(result[1])


class Tags(HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, digits: Pixels) -> Made:
    names = [HOSTILE, *(f"</script>{at}" for at in range(1, len(digits)))]
    return make(tmp_path_factory.mktemp("report"), list(digits), CODECS, names, "a <b>folder</b> & $x^2$")


def test_all_plots_come_as_svg_and_png(made: Made) -> None:
    files = {f"{name}.{kind}" for name in PLOTS for kind in ("svg", "png")}
    assert {path.name for path in (made.out / "plots").iterdir()} == files
    for name in PLOTS:
        ElementTree.parse(made.out / "plots" / f"{name}.svg")
        with Image.open(made.out / "plots" / f"{name}.png") as image:
            assert min(image.size) > 400


def test_the_page_is_one_small_file(made: Made) -> None:
    page = made.page.read_text()
    assert made.page.stat().st_size < 1_000_000
    for tag, attributes in Tags(page).found:
        assert tag not in {"iframe", "object", "embed"}
        for name in ("src", "href", "xlink:href"):
            assert re.match(r"data:|#", attributes.get(name) or "#"), (tag, attributes)
    assert "url(http" not in page
    assert "@import" not in page


def test_names_cannot_become_markup(made: Made) -> None:
    page = made.page.read_text()
    assert HOSTILE not in page
    assert "<b>folder</b>" not in page
    assert [tag for tag, _ in Tags(page).found].count("script") == 3
    assert made.pictures["images"][0]["name"] == HOSTILE
    assert made.pictures["images"][1]["name"].startswith("</script>")


def test_labels_cannot_become_markup(made: Made, tmp_path: Path) -> None:
    rows = [dataclasses.replace(row, label=f'{HOSTILE} "$x') for row in made.results.rows]
    assert report.write_report(made.run, made.outcomes, dataclasses.replace(made.results, rows=rows), tmp_path) is None
    page = (tmp_path / "report.html").read_text()
    assert HOSTILE not in page
    assert [tag for tag, _ in Tags(page).found].count("script") == 3
    for path in (tmp_path / "plots").glob("*.svg"):
        ElementTree.parse(path)


def test_each_picture_is_there_once(made: Made) -> None:
    settings = [setting for codec in made.pictures["codecs"] for setting in codec["settings"]]
    assert made.page.read_text().count("data:image/png") == len(made.run.sample_indices) * (1 + len(settings))


def test_ids_are_unique(made: Made) -> None:
    ids = [attributes["id"] for _, attributes in Tags(made.page.read_text()).found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_same_results_make_the_same_files(made: Made, tmp_path: Path) -> None:
    assert report.write_report(made.run, made.outcomes, made.results, tmp_path) is None
    for path in [made.page, *(made.out / "plots").iterdir()]:
        assert (tmp_path / path.relative_to(made.out)).read_bytes() == path.read_bytes()


def test_pictures_are_what_the_files_decode_to(made: Made) -> None:
    codec = made.pictures["codecs"][0]
    rows = sorted((row for row in made.results.rows if row.codec == "mnist-e0"), key=lambda row: row.mean_bytes or 0)
    assert [setting["setting"] for setting in codec["settings"]] == [row.setting for row in rows]
    middle = next(setting for setting in codec["settings"] if setting["setting"] == "q50")
    outcome = made.outcomes["mnist-e0@q50"]
    assert isinstance(outcome, Measurement)
    originals = [crop(made.run.source.images[at]) for at in made.run.sample_indices]
    values = [psnr(a, b) for a, b in zip(originals, outcome.samples, strict=True)]
    assert middle["captions"] == [f"{b:.0f} B\n{db:.2f} dB" for b, db in zip(outcome.sample_sizes, values, strict=True)]
    for uri, decoded in zip(middle["uris"], outcome.samples, strict=True):
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            assert (np.asarray(image) == decoded).all()


def test_the_sheet_compares_about_equal_sizes(made: Made) -> None:
    chosen = {row.codec: row.setting for row in samples.equal_size(made.results.rows)}
    assert chosen == {"mnist-e0": "q50", "webp": "q0", "jpeg": "q1"}


def test_without_matplotlib_there_are_results_and_a_hint(
    tmp_path: Path, digit_png: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "NEEDS", ("json", "nosuchlibrary"))
    assert mnistzip(["bench", str(digit_png), "--codecs", "deflate", "-o", str(tmp_path / "out")]) == 0
    output = capsys.readouterr()
    assert output.err.endswith(
        "mnistzip: no plots and no report.html: they need nosuchlibrary: pip install 'mnistzip[bench]'\n"
    )
    assert output.out.endswith(f"results in {tmp_path / 'out'}\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.json", "results.csv", "measurements", MARKER}


def changed(made: Made, keep: str, **fields: Any) -> tuple[BenchRun, dict[str, Outcome]]:
    """The same run with only the codecs whose key starts so, their measurements changed."""
    jobs = [job for job in made.run.jobs if job.key.startswith(keep) or job.key == "png"]
    run = dataclasses.replace(made.run, jobs=jobs)
    outcomes: dict[str, Outcome] = {}
    for job in jobs:
        outcome = made.outcomes[job.key]
        assert isinstance(outcome, Measurement)
        outcomes[job.key] = dataclasses.replace(outcome, **fields) if job.key.startswith(keep) else outcome
    return run, outcomes


def test_only_lossless_codecs(made: Made, tmp_path: Path) -> None:
    page = write(*changed(made, "deflate"), tmp_path).page.read_text()
    assert "No lossy codec was measured, so there is no curve" in page
    assert "all pictures would be the originals" in page
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == {"ratios", "speed"}


def test_one_setting(made: Made, tmp_path: Path) -> None:
    page = write(*changed(made, "webp@q0"), tmp_path).page.read_text()
    assert len(pictures_of(page)["codecs"][0]["settings"]) == 1


def test_a_lossy_codec_that_lost_nothing(made: Made, tmp_path: Path) -> None:
    run, outcomes = changed(made, "webp", sse=np.zeros(len(made.run.source.images), np.int64))
    page = write(run, outcomes, tmp_path / "all").page.read_text()
    assert "Every lossy codec kept every pixel" in page
    outcomes["webp@q0"] = made.outcomes["webp@q0"]
    page = write(run, outcomes, tmp_path / "one").page.read_text()
    assert "Without a point, as nothing was lost: WebP q5," in page


def test_every_codec_failed(made: Made, tmp_path: Path) -> None:
    outcomes: dict[str, Outcome] = {job.key: f"{HOSTILE} broke" for job in made.run.jobs}
    page = write(made.run, outcomes, tmp_path).page.read_text()
    assert "Nothing was measured" in page
    assert page.count("not measured: &lt;script&gt;") == len(made.run.jobs)


def test_one_tiny_image(tmp_path: Path) -> None:
    page = make(tmp_path, [np.arange(15, dtype=np.uint8).reshape(3, 5)], ["webp@q0", "mnist-e0@q50"]).page.read_text()
    assert "1 image of 5 &times; 3 pixels" in page
    assert 'data-field="ssim"' not in page


def test_identical_images_and_images_of_differing_sizes(tmp_path: Path, digit: Pixels) -> None:
    assert make(tmp_path / "same", [digit] * 3, ["webp@q0"]).page.exists()
    noise = np.random.default_rng(1).integers(0, 256, (120, 200), dtype=np.uint8)
    mixed = make(tmp_path / "mixed", [digit, noise, digit[:9, :20]], ["webp@q0", "sheet-png"])
    assert "9 to 120 pixels" in mixed.page.read_text()
    assert "images of 3 different sizes do not fit into one sheet" in mixed.page.read_text()


def test_pictures_are_left_out_before_the_page_grows_too_large(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    codecs = samples.decoded_samples(made.run, made.outcomes, made.results.rows)
    monkeypatch.setattr(samples, "PICTURES_MAX", 30_000)
    output = samples.pictures(made.run, codecs, made.results.rows)
    count = len(output["images"])
    assert 1 <= count < len(made.run.sample_indices)
    for setting in (setting for codec in output["codecs"] for setting in codec["settings"]):
        assert len(setting["uris"]) == len(setting["captions"]) == count


# In a browser.


@pytest.fixture
def browser(chromium: Any, made: Made) -> Iterator[Any]:
    """The report in a browser that prefers light; afterwards nothing may have been complained about or asked for."""
    prefer(chromium, "light")
    chromium.get(made.page.as_uri())
    chromium.execute_script("localStorage.clear()")
    chromium.get(made.page.as_uri())
    yield chromium
    assert chromium.get_log("browser") == []
    asked = chromium.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in asked if not name.startswith("data:")] == []


def prefer(driver: Any, scheme: str) -> None:
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})


def all_of(driver: Any, selector: str) -> list[Any]:
    return driver.find_elements("css selector", selector)


def one(driver: Any, selector: str) -> Any:
    return driver.find_element("css selector", selector)


@pytest.mark.browser
def test_browser_sorts_the_table(browser: Any, made: Made) -> None:
    def keys() -> list[str]:
        return browser.execute_script("return [...document.querySelectorAll('#rows tr[data-key]')].map(row => row.dataset.key)")

    def press(field: str) -> str:
        button = one(browser, f"[data-field={field}] button")
        browser.execute_script("arguments[0].focus()", button)
        button.send_keys("\n")  # as the keyboard does; where the page has scrolled to does not matter
        return one(browser, f"[data-field={field}]").get_attribute("aria-sort")

    size = {row.key: row.mean_bytes or 0 for row in made.results.rows}
    assert keys() == list(size)
    assert press("mean_bytes") == "ascending"
    assert [size[key] for key in keys()] == sorted(size.values())
    assert press("mean_bytes") == "descending"
    assert [size[key] for key in keys()] == sorted(size.values(), reverse=True)
    press("median_bytes")  # a solid codec has none and stays last, either way
    assert keys()[-1] == "sheet-png"
    press("median_bytes")
    assert keys()[-1] == "sheet-png"
    assert len(all_of(browser, "#rows [aria-sort=none]")) == len(all_of(browser, "#rows thead th")) - 1


@pytest.mark.browser
def test_browser_shows_the_values_of_a_point(browser: Any, made: Made) -> None:
    from selenium.webdriver import ActionChains

    row = next(row for row in made.results.rows if row.key == "webp@q20")
    for chart in ("rate-distortion", "speed"):
        mark = one(browser, f"#{chart}-figure_1 .tip[data-tip^='WebP q20\\a']")
        ActionChains(browser, duration=50).move_to_element(mark).perform()
        output = one(browser, "#tip").text.splitlines()
        assert output[:2] == ["WebP q20", f"{row.mean_bytes:.1f} bytes mean"]
        assert output[2].startswith(f"{row.psnr_db:.2f} dB")
    ActionChains(browser, duration=50).move_to_element(one(browser, "#charts h2")).perform()
    assert not one(browser, "#tip").is_displayed()
    first = one(browser, "#ratios-figure_1 .tip[tabindex='0']")
    browser.execute_script("arguments[0].focus({preventScroll: true})", first)
    before = one(browser, "#tip").text
    first.send_keys("\ue014")  # arrow right
    assert before
    assert one(browser, "#tip").text != before


@pytest.mark.browser
@pytest.mark.parametrize("side", ["a", "b"])
def test_browser_steps_through_quality(browser: Any, made: Made, side: str) -> None:
    codec = {"a": 0, "b": 1}[side]
    name = made.pictures["codecs"][codec]["name"]
    rows = sorted((row for row in made.results.rows if row.codec == name), key=lambda row: row.mean_bytes or 0)
    slider = one(browser, f"#pane-{side} input")
    slider.send_keys("\ue011")  # home
    seen = []
    for row in rows:
        output = one(browser, f"#pane-{side} output").text
        assert output == f"{row.setting}: {row.mean_bytes:.1f} bytes mean, {row.psnr_db:.2f} dB"
        outcome = made.outcomes[row.key]
        assert isinstance(outcome, Measurement)
        captions = [caption.text.splitlines() for caption in all_of(browser, f"#strip-{side} figcaption")]
        assert [caption[0] for caption in captions] == [f"{size:.0f} B" for size in outcome.sample_sizes]
        seen.append(one(browser, f"#strip-{side} img").get_attribute("src"))
        slider.send_keys("\ue014")
    assert len(set(seen)) > len(rows) // 2
    loaded = browser.execute_script("return [...document.images].every(image => image.complete && image.naturalWidth === 28)")
    assert loaded


@pytest.mark.browser
def test_browser_selects_budgets(browser: Any) -> None:
    def visible() -> list[str]:
        return [table.get_attribute("data-bytes") for table in all_of(browser, ".budget") if table.is_displayed()]

    options = all_of(browser, "#budget option")
    assert [int(option.get_attribute("value")) for option in options] == sorted([*LINKS, 64])
    options[3].click()
    assert visible() == [options[3].get_attribute("value")]


@pytest.mark.browser
def test_browser_is_dark_and_light(browser: Any, made: Made) -> None:
    def ground() -> str:
        return browser.execute_script("return getComputedStyle(document.body).backgroundColor")

    from selenium.webdriver.support.ui import WebDriverWait

    def opened_anew(colour: str) -> bool:
        """Whether the page, loaded again, has that ground; what it remembers takes the browser a moment to hand on."""

        def loaded(_: Any) -> bool:
            browser.get(made.page.as_uri())
            return ground() == colour

        return bool(WebDriverWait(browser, 20).until(loaded))

    light, dark = "rgb(255, 255, 255)", "rgb(21, 24, 28)"
    assert ground() == light
    one(browser, "#theme").click()
    assert ground() == dark
    assert opened_anew(dark)  # remembered
    one(browser, "#theme").click()
    prefer(browser, "dark")
    assert ground() == light  # the button is stronger than the system
    browser.execute_script("localStorage.clear()")
    assert opened_anew(dark)
