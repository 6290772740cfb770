"""The page of `chargen inspect`: what it holds, and in Chromium, where there is one, what it does."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import TOKENIZER, random_weights, write_run
from commands import call, refused
from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

import chargen
from chargen.inspection.export import as_json
from chargen.inspection.page import page
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig

TEXT = "abc dé-cab\n" * 200
HOSTILE = "</script><img src=x onerror=alert(1)>\0\u2028\u202e\ud800'\"&amp;"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

Json = dict[str, Any]
Open = Callable[[Json], Chrome]


@pytest.fixture(scope="session")
def findings(text_run: str) -> Json:
    """Of a language model; only to be read."""
    return as_json(chargen.inspect(text_run, TEXT, units=["0.2"]))


@pytest.fixture(scope="session")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """Of a classifier; only to be read."""
    encoder = EncoderConfig(TOKENIZER.vocab_size, "gru", 1, 5, 4, bidirectional=True)
    config = ClassifierConfig(encoder, 2, "concat")
    path, weights = tmp_path_factory.mktemp("runs") / "labels", random_weights(config)
    run = write_run(path, config, TOKENIZER, weights, labels=["x", HOSTILE[:30]], framed=False, max_length=9)
    return as_json(chargen.inspect(run, ["abc", "dé ab", "b", "ca-d"]))


def with_hostile_text(findings: Json) -> Json:
    """The same findings, with text in every place that would do harm if it were markup."""
    changed: Json = json.loads(json.dumps(findings))
    changed["model"] = changed["argument"] = changed["text"]["source"] = HOSTILE
    changed["text"]["symbols"][2:5] = [HOSTILE] * 3
    changed["vocabulary"] = [HOSTILE] * len(changed["vocabulary"])
    changed["notes"] = [HOSTILE]
    changed["states"]["texts"] = [HOSTILE] * len(changed["states"]["texts"])
    changed["left_out"] = [{"name": HOSTILE, "why": HOSTILE}]
    for curve in changed["gradients"]:
        curve["name"] = HOSTILE
    return changed


def test_the_page_holds_all_numbers_and_names_no_address(findings: Json) -> None:
    written = page(findings)
    packed = re.findall(r'id="findings">([A-Za-z0-9+/=]*)</script>', written)[0]
    held = json.loads(gzip.decompress(b64decode(packed)))
    assert {**held, "units": None} == {**findings, "units": None}
    assert held["units"]["chosen"]["units"] == findings["units"]["chosen"]["units"]
    addresses = set(re.findall(r"\w+://[^\s\"']*", written.replace(packed, "")))
    assert addresses == {"http://www.w3.org/2000/svg"}  # which names a language
    assert not re.search(
        r"(?<!-)\b(src|href|url|import|fetch|XMLHttpRequest|WebSocket|sendBeacon)\b *[(=\"']", written
    )
    assert page(findings) == written


def test_hostile_text_changes_no_markup(findings: Json) -> None:
    hostile, plain = page(with_hostile_text(findings)), page(findings)
    assert hostile != plain
    assert re.sub(r'(?<=id="findings">)[^<]*', "", hostile) == re.sub(r'(?<=id="findings">)[^<]*', "", plain)


def test_the_policy_lets_only_the_pages_own_script_and_style_be_used(findings: Json) -> None:
    written = page(findings)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', written)[0]
    style, script = (
        re.findall(f"<{tag}>(.*?)</{name}>", written, re.DOTALL)
        for tag, name in (("style", "style"), ('script type="module"', "script"))
    )
    sources = [b64encode(sha256(content.encode()).digest()).decode() for content in (style[0], script[0])]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{sources[0]}'; script-src 'sha256-{sources[1]}'; base-uri 'none'"
    )


def test_the_command_writes_a_page_over_its_own_alone(
    text_run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert "page: text-inspection.html" in call("inspect", "-", "-m", text_run, given=TEXT).stderr
    assert Path("text-inspection.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    call("inspect", "-", "-m", text_run, "--page", "other.html", given=TEXT)
    assert Path("other.html").read_bytes() == Path("text-inspection.html").read_bytes()
    Path("text-inspection.html").write_text("<!doctype html>my own", encoding="utf-8")
    message = refused("inspect", "-", "-m", text_run, given=TEXT)
    assert "text-inspection.html is there already and is no page of chargen inspect" in message
    assert Path("text-inspection.html").read_text(encoding="utf-8") == "<!doctype html>my own"
    assert call("inspect", "-", "-m", text_run, "--no-page", given=TEXT).stderr.count("page:") == 0
    message = refused("inspect", "-", "-m", text_run, "--page", "nowhere/a.html", given=TEXT)
    assert "there is no folder nowhere for the page a.html" in message
    refused("inspect", "-", "-m", text_run, "--page", "a.html", "--no-page", code=2, given=TEXT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.html", "text-inspection.html"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chrome]:
    """A browser without a window; its tests are skipped where there is none."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("needs Chromium and its driver")
    options = ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = Chrome(options=options, service=ChromeService(driver))
    yield running
    running.quit()


@pytest.fixture
def opened(chromium: Chrome, tmp_path: Path) -> Iterator[Open]:
    """Opens a page of findings; at the end, the browser must have met no error and asked for no other address."""
    path = tmp_path / "page.html"

    def show(findings: Json) -> Chrome:
        path.write_bytes(page(findings).encode())
        for log in ("browser", "performance"):
            chromium.get_log(log)  # of what was open before
        chromium.get(path.as_uri())
        one(chromium, "[role=tab][aria-selected=true]")
        return chromium

    yield show
    assert chromium.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    requests = [message for message in messages if message["method"] == "Network.requestWillBeSent"]
    assert {message["params"]["request"]["url"] for message in requests} == {path.as_uri()}


def one(browser: Chrome, selector: str) -> WebElement:
    """The first element of a kind, once there is one."""
    return WebDriverWait(browser, 20).until(lambda page: page.find_element("css selector", selector))


def texts(browser: Chrome, selector: str) -> list[str]:
    return [found.text for found in browser.find_elements("css selector", selector)]


def press(browser: Chrome, *keys: str) -> None:
    for key in keys:
        browser.switch_to.active_element.send_keys(getattr(Keys, key))


def shown(browser: Chrome) -> str:
    """The tab whose panel is seen."""
    panels = [panel for panel in browser.find_elements("css selector", "[role=tabpanel]") if panel.is_displayed()]
    assert len(panels) == 1
    tab = one(browser, "[role=tab][aria-selected=true]")
    assert panels[0].get_attribute("aria-labelledby") == tab.get_attribute("id")
    return tab.text


def test_a_character_that_is_clicked_shows_what_was_expected(findings: Json, opened: Open) -> None:
    browser = opened(findings)
    one(browser, "#panel-reading [data-at='13']").click()
    bits = findings["reading"]["bits"][13]
    assert texts(browser, "#panel-reading .headline") == [f"{findings['text']['symbols'][13]} {bits:.2f} bits"]
    assert len(texts(browser, "#panel-reading .answer tbody tr")) == 5
    press(browser, "RIGHT")
    assert texts(browser, "#panel-reading .headline") == [f"␣ {findings['reading']['bits'][14]:.2f} bits"]
    press(browser, "END", "DOWN", "HOME")
    assert one(browser, "#panel-reading [aria-selected=true]").get_attribute("data-at") == "22"


def test_tabs_are_switched_by_keyboard(findings: Json, opened: Open) -> None:
    browser = opened(findings)
    assert texts(browser, "[role=tab]") == ["Reading", "Units", "Gates", "Gradients", "States"]
    one(browser, "#tab-reading").click()
    for key, tab in (("RIGHT", "Units"), ("END", "States"), ("RIGHT", "Reading"), ("LEFT", "States")):
        press(browser, key)
        assert shown(browser) == tab == browser.switch_to.active_element.text
    press(browser, "LEFT", "TAB", "HOME")
    assert shown(browser) == "Gradients"


def test_a_unit_is_chosen_from_the_list_typed_or_by_its_row(findings: Json, opened: Open) -> None:
    browser = opened(findings)
    one(browser, "#tab-units").click()
    one(browser, "#panel-units [data-at='3']").click()
    for unit in ("0.2", findings["units"]["chosen"]["units"][3]):
        one(browser, f"#unit-list option[value='{unit}']").click()
        assert texts(browser, "#panel-units .about strong") == [f"Unit {unit}"]
        value = float(texts(browser, "#panel-units .answer")[0].split()[-1].replace("−", "-"))
        values = values_of(findings, unit)
        assert abs(value - values[3]) < 0.01 + np.abs(values).max() / 62
    field = one(browser, "#unit-typed")
    for typed, problem in (("9.0", "There is no such unit"), ("x", "Name a unit as LAYER.UNIT"), ("1.4", "")):
        field.clear()
        field.send_keys(typed, Keys.ENTER)
        assert one(browser, "#unit-problem").text.startswith(problem)
        assert (one(browser, "#unit-problem").text == "") == (not problem)
    assert texts(browser, "#panel-units .about strong") == ["Unit 1.4"]
    assert "--clamp 1.4=" in texts(browser, "#panel-units .command")[0]
    row = one(browser, "#panel-units .findings tbody tr")
    row.click()
    assert texts(browser, "#panel-units .about strong") == [f"Unit {findings['properties'][0]['best']['unit']}"]


def test_the_gates_of_a_grid_lstm_which_has_more_outputs_are_in_a_table(opened: Open, tmp_path: Path) -> None:
    config = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "grid-lstm", 1, 5, 4))
    run = write_run(tmp_path / "run", config, TOKENIZER, random_weights(config, 0.3))
    browser = opened(as_json(chargen.inspect(run, TEXT, length=300)))
    one(browser, "#tab-gates").click()
    one(browser, "#panel-gates summary").click()
    one(browser, "#panel-gates tbody tr")  # the table is made after the click
    assert len(texts(browser, "#panel-gates tbody tr")) == 5


def values_of(findings: Json, unit: str) -> np.ndarray:
    """A unit along the text, as docs/formats.md says that it is packed."""
    layer, number = map(int, unit.split("."))
    first, column = findings["units"]["first"], layer * findings["units"]["per_layer"] + number
    columns = np.frombuffer(b64decode(first["bytes"]), np.int8).reshape(-1, first["tokens"])
    values: np.ndarray = columns[column] * first["scales"][column]
    return values


def test_hostile_text_stays_text_on_every_tab(findings: Json, decided: Json, opened: Open) -> None:
    for one_page in (with_hostile_text(findings), with_hostile_text(decided)):
        browser = opened(one_page)
        assert "\\x00\\u2028\\u202e\\ud800" in one(browser, "h1").text and "</script><img" in browser.title
        for tab in browser.find_elements("css selector", "[role=tab]"):
            tab.click()
            for summary in browser.find_elements("css selector", "[role=tabpanel]:not([hidden]) summary"):
                summary.click()
        assert browser.find_elements("css selector", "img") == []


def test_only_what_is_in_view_is_drawn(findings: Json, opened: Open) -> None:
    many = json.loads(json.dumps(findings))
    tokens = len(many["text"]["symbols"])
    many["text"]["symbols"] *= 100
    many["text"]["starts"] = [0, 100 * tokens]
    for rows in many["reading"].values():
        rows *= 100
    browser = opened(many)
    one(browser, "#panel-reading .row span").click()
    assert 10 < len(browser.find_elements("css selector", "#panel-reading .row")) < 100
    browser.switch_to.active_element.send_keys(Keys.CONTROL + Keys.END)
    assert one(browser, "#panel-reading [aria-selected=true]").get_attribute("data-at") == str(100 * tokens - 1)
    assert 10 < len(browser.find_elements("css selector", "#panel-reading .row")) < 100


def test_a_dot_and_a_decision_lead_to_their_unit(decided: Json, opened: Open) -> None:
    browser = opened(decided)
    assert texts(browser, "[role=tab]") == ["Units", "Gates", "States", "Decisions"]
    one(browser, "#tab-decisions").click()
    unit = one(browser, "#panel-decisions article button.unit")
    name = unit.text
    unit.click()
    assert shown(browser) == "Units" and texts(browser, "#panel-units .about strong") == [f"Unit {name}"]
    assert texts(browser, "#panel-units .command") == []


@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_leaves_the_page_at_its_sides(width: int, findings: Json, opened: Open) -> None:
    changed = with_hostile_text(findings)
    changed["model"] = "long" * 100
    browser = opened(changed)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    for tab in browser.find_elements("css selector", "[role=tab]"):
        tab.click()
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
