"""``mnistzip demo`` writes a page, and in a browser the page does what Python does."""

from __future__ import annotations

import io
import re
import shlex
import tempfile
import time
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.cli.main import run
from mnistzip.demo import bundle
from mnistzip.types import Pixels
from support.paths import VECTORS

PAGE_MAX = 4_000_000  # bytes
SHOWN = 100  # bytes that the page shows of a file

browser = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "demo.html"
    assert run(["demo", "--no-open", "-o", str(path)]) == 0
    return path


# ---- The command ----


def test_no_file_is_overwritten_unless_asked(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "demo.html"
    path.write_text("mine")
    assert run(["demo", "--no-open", "-o", str(path)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert run(["demo", "--no-open", "-f", "-o", str(path)]) == 0
    assert path.read_bytes() == page.read_bytes()
    assert run(["demo", "--no-open", "-o", str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err


def test_the_page_opens_and_stays_where_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(opened.append(address)))  # as without a browser
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("mnistzip.demo.page.MODELS", ("grey",))
    assert run(["demo"]) == 0
    output = capsys.readouterr()
    path = Path(output.out.splitlines()[0])
    assert opened == [path.as_uri()]
    assert path.stat().st_size == int(re.findall(r"([\d,]+) bytes", output.out)[0].replace(",", ""))
    assert "no browser" in output.err
    assert run(["demo", "--no-open"]) == 0
    assert len(opened) == 1


def test_the_page_is_small_and_names_no_other_file(page: Path) -> None:
    content = page.read_text(encoding="utf-8")
    assert len(content.encode()) <= PAGE_MAX
    assert "default-src 'none'" in content
    addresses = re.findall(r"""(?:src|href)=["']?(?!data:)([^"' >]+)|url\((?!data:)([^)]*)\)|(@import)""", content)
    assert addresses == []


@pytest.mark.parametrize(
    ("modules", "says"),
    [
        (
            {"js/a.js": 'import { b } from "./b.js";\n', "js/b.js": 'import { a } from "./a.js";\n'},
            "in a circle: js/a.js > js/b.js > js/a.js",
        ),
        ({"js/a.js": 'import b from "./b.js";\n'}, "cannot be bundled: import b"),
        ({"js/a.js": "export default 1;\n"}, "cannot be bundled: export default"),
    ],
)
def test_modules_that_would_not_work_in_the_page_are_refused(
    modules: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "read", lambda path: modules[path].encode())
    with pytest.raises(ValueError, match=re.escape(says)):
        bundle.bundle("js/a.js")


# ---- In a browser ----


class Page:
    """The open page, and what it shows."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return str(self.driver.execute_script("return document.querySelector(arguments[0]).textContent", selector))

    def after(self, action: Callable[[], object]) -> None:
        """Do something that changes the picture or an option, and wait until all that is shown is of this change."""
        self.driver.execute_script("delete document.body.dataset.shown")
        action()
        self.until("return Boolean(document.body.dataset.shown)")

    def until(self, condition: str) -> None:
        end = time.monotonic() + 30
        while not self.driver.execute_script(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    def press(self, selector: str) -> None:
        self.driver.execute_script("document.querySelector(arguments[0]).click()", selector)

    def put(self, name: str, value: int) -> None:
        """Move a slider."""
        script = "const [id, value] = arguments, input = document.getElementById(id);"
        script += "input.value = value; input.dispatchEvent(new Event('input', {bubbles: true}))"
        self.driver.execute_script(script, name, value)

    def open(self, path: Path) -> None:
        self.one("#file").send_keys(str(path))

    def drop(self, name: str, content: bytes) -> None:
        """Drop a file onto the page."""
        script = "const [name, content] = arguments, dataTransfer = new DataTransfer();"
        script += "dataTransfer.items.add(new File([Uint8Array.from(content)], name));"
        script += "document.body.dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true}))"
        self.driver.execute_script(script, name, [*content])

    def pixels(self, selector: str) -> Pixels:
        """The grey levels of a canvas."""
        script = "const canvas = document.querySelector(arguments[0]), {width, height} = canvas;"
        script += "const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);"
        script += "return [width, height, Array.from({length: width * height}, (_, k) => data[4 * k])]"
        width, height, levels = self.driver.execute_script(script, selector)
        return np.array(levels, np.uint8).reshape(height, width)

    def file(self, selector: str = "#file-bytes") -> bytes:
        """The bytes that are shown in hex."""
        script = "return [...document.querySelectorAll(arguments[0] + ' .part span')].map((cell) => cell.textContent).join(' ')"
        return bytes.fromhex(self.driver.execute_script(script, selector))

    def size(self, tile: str) -> int:
        return int(re.findall(r"[\d,]+", self.text(f"#{tile} .bytes"))[0].replace(",", ""))

    def draw(self, *points: tuple[int, int]) -> None:
        """Draw a line from point to point, each in pixels from the middle of the pad, with the pointer."""
        from selenium.webdriver import ActionChains

        self.driver.execute_script("scrollTo(0, 0)")
        pad, (first, *others) = self.one("#pad"), points
        chain = ActionChains(self.driver, duration=20).move_to_element_with_offset(pad, *first).click_and_hold()
        for point in others:
            chain = chain.move_to_element_with_offset(pad, *point)
        chain.release().perform()

    def keys(self, keys: str) -> None:
        self.driver.execute_script("document.querySelector('#pad').focus()")
        self.one("#pad").send_keys(keys)


@pytest.fixture
def shown(chromium: Any, page: Path) -> Iterator[Page]:
    """The page, once its first digit is shown. Afterwards nothing may have been complained about or asked for."""
    shown = Page(chromium)
    chromium.get(page.as_uri())
    shown.until("return Boolean(document.body?.dataset.shown)")
    yield shown
    assert chromium.get_log("browser") == []
    asked = chromium.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in asked if not name.startswith(("data:", "blob:"))] == []


def draw_seven(shown: Page) -> Pixels:
    shown.after(lambda: shown.press("#clear"))
    shown.after(lambda: shown.draw((-70, -80), (60, -75), (40, -20), (0, 40), (-20, 100)))
    return shown.pixels("#pad")


@browser
def test_a_drawn_digit_takes_the_bytes_that_python_gives(shown: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = draw_seven(shown)
    assert image.shape == (28, 28)
    assert 60 < np.count_nonzero(image) < 200
    assert np.count_nonzero((image > 0) & (image < 255)) > 20  # soft edges
    monkeypatch.chdir(tmp_path)
    settings: list[tuple[Callable[[], object], dict[str, Any]]] = [
        (lambda: None, {}),
        (lambda: shown.put("quality", 20), {"quality": 20}),
        (lambda: shown.put("effort", 6), {"quality": 20, "effort": 6}),
        (lambda: shown.press("[value=bounded]"), {"max_error": 8, "effort": 6}),
        (lambda: shown.press("[value=lossless]"), {"lossless": True, "effort": 6}),
    ]
    for action, options in settings:
        if options:
            shown.after(action)
        expected = mnistzip.encode(image, model="mnist-fast", **options)
        assert shown.file() == expected[:SHOWN], options
        assert shown.size("mnistzip") == len(expected)
        decoded = mnistzip.decode(expected)
        assert np.array_equal(shown.pixels("#mnistzip canvas"), decoded)
        assert_details(shown, "mnistzip", image)
        Image.fromarray(image).save("digit.png")
        assert run([*shlex.split(shown.text("#command"))[1:], "-f", "--quiet"]) == 0
        assert Path("digit.cae").read_bytes() == expected


@browser
def test_pictures_keep_every_pixel_by_grey(shown: Page) -> None:
    shown.after(lambda: shown.press("[data-sample=moon]"))
    image = shown.pixels("#pad")
    settings: list[tuple[str, dict[str, Any]]] = [("bounded", {"max_error": 8}), ("lossless", {"lossless": True})]
    for keep, options in settings:
        shown.after(lambda keep=keep: shown.press(f"[value={keep}]"))
        expected = mnistzip.encode(image, model="grey", **options)
        assert shown.file() == expected[:SHOWN]
        assert shown.size("mnistzip") == len(expected)
        assert "model grey" in shown.text("#mnistzip .note")


@browser
def test_saved_files_and_the_command_that_is_shown_agree(shown: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    shown.after(lambda: shown.press("[data-sample=moon]"))
    for button, name in (("#save", "moon.cae"), ("#save-png", "moon.png")):
        shown.press(button)
        end = time.monotonic() + 30
        while not Path(name).exists():
            assert time.monotonic() < end, name
            time.sleep(0.02)
    with Image.open("moon.png") as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), shown.pixels("#pad"))
    command = shlex.split(shown.text("#command"))
    saved = Path("moon.cae").read_bytes()
    assert run([*command[1:], "-f", "--quiet"]) == 0
    assert Path("moon.cae").read_bytes() == saved


def assert_details(shown: Page, tile: str, image: Pixels) -> None:
    """PSNR and bits per pixel are those of the picture that is shown."""
    quality = mnistzip.psnr(image, shown.pixels(f"#{tile} canvas"))
    said = "every pixel kept" if quality == float("inf") else f"{quality:.1f} dB"
    assert shown.text(f"#{tile} .detail") == f"{said}{8 * shown.size(tile) / image.size:.2f} bits per pixel"


@browser
def test_other_codecs_are_measured_on_what_they_show(shown: Page) -> None:
    image = shown.pixels("#pad")
    for tile in ("webp", "jpeg", "png"):
        assert_details(shown, tile, image)
        assert shown.size(tile) > shown.size("mnistzip")
    png = io.BytesIO()
    Image.fromarray(image).save(png, "PNG", optimize=True)
    assert shown.size("png") < 1.2 * len(png.getvalue())
    webp = io.BytesIO()
    Image.fromarray(image).save(webp, "WEBP", quality=0)
    assert shown.size("webp") < 1.2 * len(webp.getvalue())  # without the colour profile of the browser


@browser
def test_bare_streams_are_those_of_python_and_packets_hold_the_best_that_fits(shown: Page) -> None:
    image = draw_seven(shown)

    def stream(quality: int) -> bytes:
        return mnistzip.encode(image, model="mnist-fast", quality=quality, bare=True)

    assert shown.file("#bare-bytes") == stream(50)
    for room in (11, 51):
        packet = f".packet[data-bytes='{room}']"
        quality = int(re.findall(r"quality (\d+)", shown.text(f"{packet} .note"))[0])
        assert len(stream(quality)) <= room
        assert quality == 100 or len(stream(quality + 1)) > room
        decoded = mnistzip.decode_bare(stream(quality), model="mnist-fast", quality=quality)
        assert np.array_equal(shown.pixels(f"{packet} canvas"), decoded)
        assert shown.text(f"{packet} .detail") == f"{len(stream(quality))} bytes · {mnistzip.psnr(image, decoded):.1f} dB"


@browser
def test_files_of_python_open(shown: Page, tmp_path: Path, digits: Pixels) -> None:
    slope = np.add.outer(np.arange(30) * 3, np.arange(44) * 2).astype(np.uint8)
    for image, options in (
        (digits[3], {"model": "mnist-fast", "quality": 30}),
        (slope, {"model": "grey"}),
        (slope, {"lossless": True}),
    ):
        file = mnistzip.encode(image, **options)
        path = tmp_path / "some.cae"
        path.write_bytes(file)
        shown.after(lambda path=path: shown.open(path))
        assert np.array_equal(shown.pixels("#pad"), mnistzip.decode(file))
        assert shown.file("#opened-bytes") == file[:SHOWN]
        assert f"{len(file)} bytes" in shown.text("#opened-says")


@browser
def test_an_archive_opens_and_each_of_its_images_can_be_taken(shown: Page) -> None:
    path = VECTORS / "archive" / "mnist-fast.cae"
    images = list(mnistzip.Archive(path.read_bytes()))
    shown.after(lambda: shown.open(path))
    assert shown.text("#opened-says").startswith(f"An archive of {len(images)} images")
    assert np.array_equal(shown.pixels("#pad"), images[0])
    shown.after(lambda: shown.press("#opened-sheet button:nth-child(3)"))
    assert np.array_equal(shown.pixels("#pad"), images[2])


@browser
def test_a_page_with_all_candidates_chooses_as_python_does(
    chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Pixels
) -> None:
    monkeypatch.setattr("mnistzip.demo.page.ALL_MODELS", ("mnist", "glyph", "grey", "mnist-bitmap"))  # all that it needs
    path = tmp_path / "all.html"
    assert run(["demo", "--all-models", "--no-open", "-o", str(path)]) == 0
    shown = Page(chromium)
    chromium.get(path.as_uri())
    shown.until("return Boolean(document.body?.dataset.shown)")
    file = mnistzip.encode(digits[1], quality=30)
    (tmp_path / "digit.cae").write_bytes(file)
    shown.after(lambda: shown.open(tmp_path / "digit.cae"))
    image = shown.pixels("#pad")
    assert np.array_equal(image, mnistzip.decode(file))
    assert shown.file() == mnistzip.encode(image)
    assert shown.text("#command") == "mnistzip compress digit.png -o digit.cae"
    assert chromium.get_log("browser") == []


@browser
def test_pictures_become_grey_and_small(shown: Page, tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "my colours.png")
    shown.after(lambda: shown.open(tmp_path / "my colours.png"))
    assert np.array_equal(shown.pixels("#pad"), np.asarray(Image.fromarray(colours).convert("L")))
    assert "compress my-colours.png -o my-colours.cae" in shown.text("#command")
    shown.after(lambda: shown.put("effort", 0))
    Image.new("L", (1024, 100), 77).save(tmp_path / "wide.png")
    shown.after(lambda: shown.open(tmp_path / "wide.png"))
    assert np.array_equal(shown.pixels("#pad"), np.full((25, 256), 77))


@browser
def test_files_that_cannot_be_opened_are_said_and_change_nothing(shown: Page, digits: Pixels) -> None:
    before = shown.pixels("#pad")
    file = bytearray(mnistzip.encode(digits[0], model="mnist-fast"))
    file[-3] ^= 4
    contents = {
        "damaged.cae": (bytes(file), "the file is damaged"),
        "other.cae": (mnistzip.encode(digits[0], model="mnist"), "mnistzip demo --all-models"),
        "text.png": (b"no picture", "cannot open it as an image"),
        "empty.cae": (b"", "not a mnistzip file"),
    }
    for name, (content, says) in contents.items():
        shown.drop(name, content)
        shown.until(f"return document.querySelector('#error').textContent.includes('{name}')")
        assert says in shown.text("#error p")
        assert shown.one("#error").is_displayed()
    assert np.array_equal(shown.pixels("#pad"), before)
    shown.after(lambda: shown.press("[data-sample=digit-5]"))
    assert not shown.one("#error").is_displayed()


@browser
def test_the_keyboard_draws(shown: Page) -> None:
    before = shown.pixels("#pad")
    shown.after(lambda: shown.keys("c"))
    assert not shown.pixels("#pad").any()
    left, down = "\ue012", "\ue015"
    shown.after(lambda: shown.keys(f" {left * 4}{down * 3} {left * 4}"))
    image = shown.pixels("#pad")
    assert image[14, 10:15].min() == 255
    assert image[15:18, 10].min() == 255
    assert not image[17, 4:7].any()  # the pen was up
    for _ in range(2):
        shown.after(lambda: shown.press("#undo"))
    assert np.array_equal(shown.pixels("#pad"), before)


@browser
def test_the_page_fits_a_phone_and_the_dark(shown: Page) -> None:
    colours = []
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        shown.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        colours.append(shown.driver.execute_script("return getComputedStyle(document.documentElement).backgroundColor"))
    assert len({*colours}) == 2
    screen = {"width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": True}
    shown.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        shown.after(lambda: shown.press("[data-sample=letter]"))
        width, number = shown.driver.execute_script(
            "const number = document.querySelector('#mnistzip .bytes').getBoundingClientRect();"
            "return [document.documentElement.scrollWidth, number.bottom]"
        )
        assert width == 360
        assert number < 780  # on the first screen
    finally:
        shown.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        shown.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
