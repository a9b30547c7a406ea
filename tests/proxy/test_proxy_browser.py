"""The proof: a real browser behind the proxy, two shaped paths, and one of them cut.

Pictures of the dashboard are kept where LKLSOCK_SCREENSHOTS says.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from far_server import OBJECTS, bulk_digest
from host_network import requires_host_mptcp, requires_root, requires_tun
from own_process import in_own_process
from required import library, program
from two_paths import SERVER, TIMEOUT_S, certificate, cut, proxy, server

library("h11")
library("prometheus_client", "prometheus-client")

pytestmark = [
    *(pytest.mark.root, pytest.mark.slow, pytest.mark.full),
    *(requires_root, requires_tun, requires_host_mptcp),
]

LOADED = "return [...document.images].filter(i => i.complete && i.naturalWidth === 64).length"
DRAWN = "return samples.filter(s => s.rates.tap0 > 0 && s.rates.tap1 > 0).length"
DASHBOARD = "http://127.0.0.1:9090/"


@contextlib.contextmanager
def browser(directory: Path, *options: str) -> Iterator[Any]:
    """Chromium without a screen, that downloads into a directory."""
    webdriver = library("selenium.webdriver", "selenium")
    chosen = webdriver.ChromeOptions()
    chosen.binary_location = program("chromium", "chromium")
    for option in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
        *("--proxy-server=http://127.0.0.1:3128", "--ignore-certificate-errors"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--no-first-run", f"--user-data-dir={directory}/profile", "--window-size=1200,1100"),
        *options,
    ):
        chosen.add_argument(option)
    downloads = {
        "download.default_directory": str(directory),
        "download.prompt_for_download": False,
    }
    chosen.add_experimental_option("prefs", downloads)
    service = webdriver.ChromeService(program("chromedriver", "chromium-driver"))
    running = webdriver.Chrome(options=chosen, service=service)
    try:
        running.set_page_load_timeout(TIMEOUT_S)
        yield running
    finally:
        running.quit()


def until(true: Callable[[], Any], what: str) -> Any:
    """Waits until something is so."""
    deadline = time.monotonic() + TIMEOUT_S
    while not (found := true()):
        assert time.monotonic() < deadline, f"not in {TIMEOUT_S} s: {what}"
        time.sleep(0.05)
    return found


def picture(driver: Any, directory: Path, name: str) -> None:
    """Takes a picture of the page, which must not be empty."""
    path = directory / f"{name}.png"
    assert driver.save_screenshot(str(path))
    assert path.stat().st_size > 10_000
    kept = os.environ.get("LKLSOCK_SCREENSHOTS")
    if kept:
        shutil.copy(path, kept)


def text_of(driver: Any, selector: str) -> str:
    return str(
        driver.execute_script("return document.querySelector(arguments[0]).innerText", selector)
    )


@in_own_process(timeout_s=150)
def test_page_and_download_survive_the_loss_of_a_path(
    namespace: str, far: str, tmp_path: Path
) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    with (
        server(far, tmp_path),
        proxy("--dashboard", "127.0.0.1:9090"),
        browser(tmp_path) as driver,
    ):
        driver.get(DASHBOARD)
        until(lambda: "live" in text_of(driver, "#link"), "the dashboard is live")
        dashboard = driver.current_window_handle
        driver.switch_to.new_window("tab")
        page = driver.current_window_handle
        driver.get(f"https://{SERVER}/page")
        assert driver.execute_script(LOADED) == OBJECTS
        driver.find_element("id", "download").click()
        partial, whole = tmp_path / "bulk.bin.crdownload", tmp_path / "bulk.bin"
        until(lambda: list(tmp_path.glob("*.crdownload")), "the download begins")
        driver.switch_to.window(dashboard)
        until(
            lambda: (
                "MPTCP" in text_of(driver, "#connections")
                and all(f"tap{path}" in text_of(driver, "#connections") for path in (0, 1))
            ),
            "the dashboard shows the connection on both paths",
        )
        until(lambda: driver.execute_script(DRAWN) >= 4, "the chart has a line for each path")
        picture(driver, tmp_path, "both")
        cut(far, 0)
        # And while one path is lost, the page is loaded anew.
        driver.switch_to.window(page)
        driver.get(f"https://{SERVER}/page?again")
        assert driver.execute_script(LOADED) == OBJECTS
        driver.switch_to.window(dashboard)
        until(lambda: "silent" in text_of(driver, "#events"), "the dashboard tells of the path")
        picture(driver, tmp_path, "cut")
        until(whole.exists, "the download is complete")
        assert not partial.exists()
        assert hashlib.sha256(whole.read_bytes()).hexdigest() == bulk_digest(48)


@in_own_process(timeout_s=120)
def test_dashboard_shows_paths_and_its_buttons_cut_and_spare_them(
    namespace: str, far: str, tmp_path: Path
) -> None:
    tmp_path = Path(tmp_path)
    certificate(tmp_path)
    with (
        server(far, tmp_path),
        proxy("--dashboard", "127.0.0.1:9090"),
        browser(tmp_path) as driver,
        proxied_download(tmp_path),
    ):
        phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        driver.get(DASHBOARD)
        until(lambda: "MPTCP" in text_of(driver, "#connections"), "a connection is shown")
        script = "arguments[0].click(); return true"

        def press(action: str) -> None:
            driver.execute_script(script, driver.find_element("id", action))

        press("backup-tap1")
        until(lambda: "backup" in text_of(driver, "#paths .path:nth-child(2) .top"), "a backup")
        press("carry-tap1")
        until(lambda: "backup" not in text_of(driver, "#paths .path:nth-child(2) .top"), "none")
        press("cut-tap0")
        until(lambda: "cut here" in text_of(driver, "#paths .path:nth-child(1) .top"), "cut")
        until(lambda: "down" in text_of(driver, "#events"), "the event is told")
        picture(driver, tmp_path, "phone")
        width, view = driver.execute_script(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert width <= view, "the page is wider than a phone"
        press("mend-tap0")
        until(lambda: "up" in text_of(driver, "#paths .path:nth-child(1) .top"), "mended")
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
        )
        ground = "return getComputedStyle(document.body).backgroundColor"
        until(lambda: driver.execute_script(ground) == "rgb(18, 21, 26)", "it is dark")
        chart = "return document.querySelector('#chart').toDataURL()"
        before = driver.execute_script(chart)
        until(lambda: driver.execute_script(chart) != before, "the chart moves")
        picture(driver, tmp_path, "dark")
        assert not driver.get_log("browser")


@contextlib.contextmanager
def proxied_download(directory: Path) -> Iterator[None]:
    """Something that goes on meanwhile."""
    words = ["curl", "-s", "-o", os.devnull, "-x", "http://127.0.0.1:3128"]
    words += [f"http://{SERVER}/bulk/400"]
    running = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *words])
    try:
        yield
    finally:
        running.kill()
        running.wait()
