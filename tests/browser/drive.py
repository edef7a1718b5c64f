# SPDX-License-Identifier: MIT
"""Drives the page of examples/browser in headless Chromium as a visitor would: types, points, reads numbers.

    drive.py PAGE STORYTELLER BOX PICTURES

PAGE is the folder that is served, STORYTELLER a program that tells what the twins should write, BOX the folder of the
models, PICTURES a folder for screenshots.
"""
import base64
import functools
import http.server
import math
import os
import re
import shutil
import subprocess
import sys
import threading

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import Select, WebDriverWait

TWINS = ("softmax", "softpick")
SLOW = 120  # seconds that a busy machine may take for a text


def serve(folder):
    """Serves a folder on a port that is free, and lists what is asked for."""
    asked = []

    class handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/", asked


def share(percentage):
    """The numbers that a percentage on the page stands for: 0% is 0 and 100% is 1, others are rounded."""
    if percentage in ("0%", "100%"):
        return (float(percentage[:-1]) / 100,) * 2
    if percentage[0] in "<>":
        return (1e-30, 0.00101) if percentage[0] == "<" else (0.99899, 1 - 1e-9)
    digits = percentage[:-1]
    half = 0.0051 if "." not in digits else 0.00051
    return float(digits) / 100 - half, float(digits) / 100 + half


class visitor:
    in_a_hurry = False  # prefers texts that are there at once to texts that move

    def __init__(self, url):
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--force-device-scale-factor=1"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
        self.screen(1280, 900)
        # notes how many tokens of each text are there, frame by frame: this process may be too slow to see them grow
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
            window.seen = new Set();
            requestAnimationFrame(function note() {
                seen.add([...document.querySelectorAll(".text")].map((t) => t.children.length).join());
                requestAnimationFrame(note);
            });"""})
        self.driver.get(url)

    def screen(self, width, height, dark=False, phone=False):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone})
        prefers = {"color-scheme": "dark" if dark else "light",
                   "reduced-motion": "reduce" if self.in_a_hurry else "no-preference"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": f"prefers-{name}", "value": value} for name, value in prefers.items()]})

    def picture(self, path):
        png = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
        with open(path, "wb") as file:
            file.write(base64.b64decode(png["data"]))

    def find(self, name):
        return self.driver.find_element(By.ID, name)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def settle(self):
        """Lets the page draw what was done to it."""
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    def written(self, twin):
        """The text that is shown of a twin, without what stands before it."""
        spans = self.run("return [...arguments[0].children].map(s => s.textContent)", self.find(f"{twin}-text"))
        assert spans[0] == "‹s›", spans[:3]
        return "".join(spans[1:]).replace("⏎", "")

    def is_writing(self):
        return bool(self.driver.find_elements(By.CSS_SELECTOR, ".text.writing"))

    def wait_for_texts(self):
        self.settle()
        WebDriverWait(self.driver, SLOW, 0.1).until(lambda _: not self.is_writing())
        self.settle()
        assert not self.find("alert").is_displayed(), self.find("alert").text
        return [self.written(twin) for twin in TWINS]

    def type_prompt(self, prompt):
        field = self.find("prompt")
        field.send_keys(Keys.CONTROL + "a", Keys.DELETE)
        field.send_keys(prompt, Keys.ENTER)

    def point_at(self, twin, token):
        span = self.find(f"{twin}-{token}")
        self.run("arguments[0].scrollIntoView({block: 'center'})", span)
        ActionChains(self.driver, duration=20).move_to_element(span).perform()
        self.settle()

    def point_at_nothing(self):
        title = self.driver.find_element(By.TAG_NAME, "h1")
        self.run("arguments[0].scrollIntoView({block: 'center'})", title)
        ActionChains(self.driver, duration=20).move_to_element(title).perform()
        self.settle()

    def says(self, twin, key):
        return self.find(f"{twin}-here").find_element(By.CSS_SELECTOR, f"[data-key={key}]")

    def head(self, twin, layer, head):
        cell = f".head[data-layer='{layer}'][data-head='{head}']"
        return self.driver.find_element(By.CSS_SELECTOR, f".twin.{twin} {cell}")

    def numbers(self, twin, layer, head):
        cell = self.head(twin, layer, head)
        return {key: cell.find_element(By.CSS_SELECTOR, f"[data-key={key}]").text
                for key in ("sink", "entropy", "zeros")}

    def figures(self, twin):
        return {key: self.find(f"{twin}-{key}").text for key in ("sink", "entropy", "zeros", "speed")}

    def shades(self, twin):
        """How strongly each token is shaded, 0 where it is not at all."""
        colours = self.run("return [...arguments[0].children].map(s => s.style.backgroundColor)",
                           self.find(f"{twin}-text"))
        return [0.0 if not c else float(re.search(r"([0-9.]+)\)$", c).group(1)) if c.startswith("rgba") else 1.0
                for c in colours]

    def weights(self, twin):
        """The weights that these shades stand for: shade = full (0.1 + 0.9 sqrt(weight)), and 0 for a weight of 0."""
        full = float(self.run("return getComputedStyle(document.body).getPropertyValue('--text-shade')"))
        return [0.0 if s == 0 else max(0.0, (s / full - 0.1) / 0.9) ** 2 for s in self.shades(twin)]


def told(storyteller, box, twin, prompt):
    """What storyteller makes of a prompt at temperature 0, the prompt included, as tokens: one a byte."""
    command = [storyteller, f"{box}/{twin}.bin", f"{box}/tokenizer.bin", "--prompt", prompt]
    return subprocess.run(command, capture_output=True, check=True).stdout[:-1]


def as_bytes(text):
    """The bytes of a text of the page, which writes those that are no letters of ASCII as numbers."""
    return b"".join(bytes.fromhex(part[1:3]) if part.startswith("‹") else part.encode()
                    for part in re.findall("‹[0-9a-f]{2}›|[^‹]", text))


def check_files(page):
    files = sorted(os.listdir(page))
    assert files == ["heed.wasm", "index.html"], files
    size = sum(os.path.getsize(os.path.join(page, f)) for f in files)
    assert size <= 4_000_000, f"{size} bytes"
    print(f"the page has {size} bytes")


def check_first_text(v):
    """Without a click, both twins write token by token, and say how fast and by which instructions."""
    WebDriverWait(v.driver, SLOW, 0.1).until(lambda _: v.find("softpick-text").find_elements(By.CSS_SELECTOR, "span"))
    for text in v.wait_for_texts():
        assert text.startswith("And it came to pass") and len(text) > 60, text
    lengths = v.run("return [...window.seen]")
    assert len(lengths) > 20, lengths  # grew many times, not at once
    assert v.find("isa").text.startswith("wasm_simd128"), v.find("isa").text
    for twin in TWINS:
        assert float(v.figures(twin)["speed"].replace(",", "")) > 0


def to_temperature_zero(v):
    v.find("temperature").send_keys(Keys.HOME)
    assert v.find("temperature-says").text.startswith("0,")


def rounding_of_leads(v, tokens):
    """By how much leads of logits differ between tokens written one by one and read at once: other orders of sums."""
    def leads():
        found = []
        for token in tokens:
            for twin in TWINS:
                v.point_at(twin, token)
                found.append(float(v.says(twin, "lead").get_attribute("title")))
        return found

    before = leads()
    v.find("keep").click()
    v.find("scale").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    after = leads()
    v.find("keep").click()
    v.point_at_nothing()
    return max(abs(a - b) for a, b in zip(before, after))


def check_greedy_texts(v, storyteller, box):
    """At temperature 0 the page writes what storyteller tells, up to a token where two logits are as good as equal."""
    to_temperature_zero(v)
    agreed, error, context = 0, None, 256
    for prompt in ("And it came to pass", "In the beginning", "The quick brown fox", "Ärger, 7 times"):
        v.type_prompt(prompt)
        texts = v.wait_for_texts()
        if error is None:
            error = 10 * rounding_of_leads(v, (60, 150, 240)) + 1e-6
        for twin, text in zip(TWINS, texts):
            here, there = as_bytes(text), told(storyteller, box, twin, prompt)
            same = len(os.path.commonprefix([here, there]))
            agreed += same
            # storyteller also says what would come behind the last token of a context that is full
            if here == there or (len(here) == context - 1 and here == there[:-1]):
                continue
            assert prompt.encode() == here[:len(prompt.encode())], here
            token = 1 + same
            v.point_at(twin, token)
            lead = float(v.says(twin, "lead").get_attribute("title"))
            print(f"{twin}, {prompt!r}: from token {token} on not as storyteller: two logits are {lead} apart")
            assert lead <= error, f"{lead} > {error}:\n{here}\n{there}"
    print(f"{agreed} letters as storyteller tells them; logits are known to {error:.1e}")


def check_row(v, twin, token, layer, head):
    """What is shaded, and what observe() says beside the head, are the same row; softpick's zeros are no shade at all."""
    weights, numbers = v.weights(twin), v.numbers(twin, layer, head)
    row = weights[:token + 1]
    assert not any(weights[token + 1:])
    low, high = share(numbers["zeros"])
    assert low - 1e-6 <= row.count(0) / len(row) <= high + 1e-6, (twin, numbers, row.count(0))
    low, high = share(numbers["sink"])
    assert low - 2e-3 <= row[0] <= high + 2e-3, (twin, numbers, row[0])
    entropy = -sum(w * math.log(w) for w in row if w > 0)
    assert abs(entropy - float(numbers["entropy"])) < 0.08, (twin, numbers, entropy)
    if twin == "softmax":
        assert row.count(0) == 0 and abs(sum(row) - 1) < 0.05, sum(row)
    else:
        assert sum(row) < 1.05, sum(row)
    return row


def check_pointing(v):
    """A token is pointed at, and of it, and of both twins' heads, the page says and shades what is so."""
    v.type_prompt("And it came to pass")
    v.wait_for_texts()
    means = {twin: v.figures(twin) for twin in TWINS}
    sinks = []
    for token in (2, 120):  # an early row has much weight on the first token
        for layer, head in ((0, 1), (2, 3)):
            v.head("softmax", layer, head).click()
            v.point_at("softpick", token)
            for twin in TWINS:
                assert v.says(twin, "token").text == str(token)  # both show the token's place
                assert v.head(twin, layer, head).get_attribute("aria-pressed") == "true"
                row = check_row(v, twin, token, layer, head)
                sinks.append(row[0])
                assert twin == "softmax" or token == 2 or row.count(0) > len(row) / 2
    assert max(sinks) > 0.1, sinks
    assert len(v.driver.find_elements(By.CSS_SELECTOR, ".text .here")) == 2
    assert all(v.figures(twin) != means[twin] for twin in TWINS)
    v.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    v.point_at_nothing()
    assert {twin: v.figures(twin) for twin in TWINS} == means


def check_settings(v):
    """The same weights with another normalizer, score scale and temperature; and back."""
    before = [v.written(twin) for twin in TWINS]
    assert share(v.figures("softmax")["zeros"])[1] == 0

    Select(v.find("softmax-normalizer")).select_by_visible_text("softpick")
    changed = v.wait_for_texts()
    assert changed[0] != before[0] and changed[1] == before[1]
    assert share(v.figures("softmax")["zeros"])[0] > 0.3, v.figures("softmax")
    assert "not what it was trained with" in v.driver.find_element(By.CSS_SELECTOR, ".twin.softmax .formula").text
    Select(v.find("softmax-normalizer")).select_by_visible_text("entmax15")
    v.wait_for_texts()
    assert share(v.figures("softmax")["zeros"])[0] > 0.1
    Select(v.find("softmax-normalizer")).select_by_index(0)
    assert v.wait_for_texts() == before

    v.find("keep").click()
    entropy = [float(v.figures(twin)["entropy"]) for twin in TWINS]
    v.find("scale").send_keys(Keys.END)
    v.settle()
    assert v.find("scale-says").text == "× 4.00"
    assert [v.written(twin) for twin in TWINS] == before  # kept
    assert float(v.figures("softmax")["entropy"]) < 0.7 * entropy[0]  # larger scores, narrower rows
    v.find("keep").click()
    v.find("scale").send_keys(Keys.HOME)
    assert v.wait_for_texts() != before

    v.find("reset").click()
    sampled = v.wait_for_texts()
    v.find("again").click()
    assert v.wait_for_texts() != sampled
    v.find("reset").click()
    assert v.wait_for_texts() == sampled  # the same seed, the same text


def check_keyboard(v):
    """By keys alone: from the prompt to a text, through it, and to the heads."""
    v.find("prompt").send_keys("")
    for _ in range(40):
        v.driver.switch_to.active_element.send_keys(Keys.TAB)
        if v.driver.switch_to.active_element.get_attribute("id") == "softmax-text":
            break
    text = v.driver.switch_to.active_element
    assert text.get_attribute("id") == "softmax-text"
    text.send_keys(Keys.HOME, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    v.settle()
    assert v.says("softmax", "token").text == "19"
    assert text.get_attribute("aria-activedescendant") == "softmax-19"
    text.send_keys(Keys.TAB)
    v.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    cell = v.driver.switch_to.active_element
    cell.send_keys(Keys.ENTER)
    v.settle()
    assert v.head("softmax", 1, 1).get_attribute("aria-pressed") == "true"
    assert "layer 2, head 2" in v.find("softmax-here").text
    cell.send_keys(Keys.ESCAPE)
    v.settle()
    assert not v.driver.find_elements(By.CSS_SELECTOR, ".head[aria-pressed=true], .text .here")


def check_errors(v):
    """A prompt that is too long is a sentence, and what was there stays."""
    before = [v.written(twin) for twin in TWINS]
    v.type_prompt("x" * 300)
    v.settle()
    assert v.find("alert").text == "The prompt has 300 bytes; the models read 255 at most.", v.find("alert").text
    assert [v.written(twin) for twin in TWINS] == before
    v.type_prompt("")
    assert all(v.wait_for_texts())


def check_looks(v, pictures):
    """Fits a phone and a desktop, light and dark."""
    os.makedirs(pictures, exist_ok=True)
    v.type_prompt("And it came to pass")
    v.wait_for_texts()
    v.find("softmax-150").click()
    for width, phone in ((1280, False), (390, True)):
        for dark in (False, True):
            v.screen(width, 900, dark, phone)
            v.settle()
            wide = v.run("return document.documentElement.scrollWidth")
            assert wide <= width, f"{wide} pixels wide on a screen of {width}"
            cut = v.run("return [...document.querySelectorAll('.head b, .figures dd')].filter(e => {"
                        "const box = e.closest('.head, .twin').getBoundingClientRect();"
                        "return e.getBoundingClientRect().right > box.right; }).length")
            assert cut == 0, f"{cut} numbers are cut off at a width of {width}"
            ground = v.run("return getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 300) == dark, ground
            v.picture(os.path.join(pictures, f"{width}-{'dark' if dark else 'light'}.png"))


def main(page, storyteller, box, pictures):
    check_files(page)
    url, asked = serve(page)
    v = visitor(url)
    try:
        check_first_text(v)
        v.in_a_hurry = True
        v.screen(1280, 900)
        check_greedy_texts(v, storyteller, box)
        check_pointing(v)
        check_settings(v)
        check_keyboard(v)
        check_errors(v)
        check_looks(v, pictures)
        wrong = [line for line in v.driver.get_log("browser") if line["level"] == "SEVERE"]
        assert not wrong, wrong
    except Exception:
        os.makedirs(pictures, exist_ok=True)
        v.picture(os.path.join(pictures, "failed.png"))
        raise
    finally:
        v.driver.quit()
    assert sorted(asked) == ["/", "/heed.wasm"], asked  # and nothing else
    print("the page works")


if __name__ == "__main__":
    main(*sys.argv[1:])
