"""A headless browser for tests and measurements."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def missing_programs() -> str:
    """What to say if there is no browser; empty if there is one."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    return "" if browser and shutil.which("chromedriver") else "needs a browser: apt install chromium chromium-driver"


@contextmanager
def open_chromium() -> Iterator[Any]:
    """Chromium, driven by selenium, with a profile of its own."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")
        window = ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900", f"--user-data-dir={profile}")
        for argument in (*window, *quiet):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options, webdriver.ChromeService(executable_path=shutil.which("chromedriver")))
        try:
            yield driver
        finally:
            driver.quit()
