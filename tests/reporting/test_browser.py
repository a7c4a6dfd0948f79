"""report.html in a headless Chromium: nothing is asked for or complained about, and what moves, works."""

import base64
import os

import pytest

from tests.reporting.chromium import Chromium, find_chromium
from tests.reporting.fabrication import EVALUATOR, SOURCES, TINY, fabricate, failed
from tests.reporting.stand_ins import content_of, pictures
from tests.reporting.test_golden import numbers
from vaebench.engines import planning
from vaebench.reporting.html import render_html
from vaebench.store.folders import ResultsFolder
from vaebench.suite.loading import load_suite_mapping

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: apt-get install chromium)"),
    pytest.mark.skipif(os.name != "posix", reason="Chromium is driven through inherited pipes"),
]
QUESTION = TINY["contrasts"][1]["question"]
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
ATTACK = {"question": HOSTILE, "theory": "vae-gaussian", "practice": "vae"}
PHONE, DESKTOP = 390, 1280

CONTRASTS = """(() => {
  const light = (colour) => {
    const part = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const [red, green, blue] = colour.match(/[\\d.]+/g).slice(0, 3).map((value) => part(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(".unseen")) continue;
    const [low, high] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A report of fabricated records: one variant that failed, one that collapsed, texts that attack."""
    folder = tmp_path_factory.mktemp("report")
    content = {
        **TINY,
        "description": HOSTILE,
        "contrasts": [*TINY["contrasts"], ATTACK],
    }
    suite, results = load_suite_mapping(content), ResultsFolder(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "model_fingerprints", lambda cell: SOURCES)
        patch.setattr(planning, "metric_fingerprint", lambda name: EVALUATOR)
        fabricate(suite, results, numbers, instead={"vae-mse": failed})
        drawn = pictures(folder / "figures", QUESTION, "vae", HOSTILE)
        page = render_html(content_of(suite, results, pictures=drawn))
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    assert CHROMIUM
    started = Chromium(CHROMIUM, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def page(browser, address):
    opened = browser.page()
    opened.open(address)
    yield opened
    complaints, requests = opened.complaints(), opened.requests()
    opened.evaluate("localStorage.clear()")
    opened.close()
    assert complaints == []
    assert requests == [address] * len(requests)


def column(page):
    """The variants of the first ranking from top to bottom, hidden rows left out."""
    rows = "[...document.querySelector('#ranking-1 table').querySelectorAll('tbody tr')]"
    return page.evaluate(f"{rows}.filter((row) => !row.hidden).map((row) => row.querySelector('th').textContent)")


HEADS = "[...document.querySelector('#ranking-1 table').tHead.rows[0].cells]"


def head(name):
    """The heading of a column of the first ranking."""
    return f"{HEADS}.find((cell) => cell.textContent.startsWith('{name}'))"


def sort_of(page, name):
    return page.evaluate(f"{head(name)}.getAttribute('aria-sort')")


def test_the_page_asks_for_itself_only_and_complains_of_nothing(page, address):
    assert page.requests() == [address]
    assert page.complaints() == []
    loaded = "performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert [name for name in page.evaluate(loaded) if not name.startswith("data:")] == []


def test_no_text_became_a_script(page):
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelector('.lead').textContent") == HOSTILE


def test_the_policy_refuses_scripts_that_are_not_the_pages_own(browser, address):
    opened = browser.page()
    opened.open(address)
    opened.evaluate(f"document.body.insertAdjacentHTML('beforeend', {HOSTILE!r})")
    opened.evaluate("window.script = document.createElement('script'); script.textContent = 'window.hacked = 1'")
    opened.evaluate("document.body.append(script)")
    assert opened.evaluate("window.hacked") is None
    assert any("Content Security Policy" in said for said in opened.complaints())
    opened.close()


def test_a_column_is_sorted_by_keyboard_and_what_is_not_ranked_stays_below(page):
    ranked = column(page)
    assert ranked[-1].startswith("vae-mse")
    button = f"{head('bits_per_dim')}.querySelector('button')"
    page.evaluate(f"{button}.focus()")
    page.press("Enter", 13, "\r")
    assert sort_of(page, "bits_per_dim") == "ascending"
    assert column(page) == ranked
    page.press(" ", 32, " ")
    assert sort_of(page, "bits_per_dim") == "descending"
    assert column(page) == [*ranked[-2::-1], ranked[-1]]
    page.press("Enter", 13, "\r")
    assert sort_of(page, "bits_per_dim") == "none"
    assert column(page) == ranked


def test_words_are_sorted_as_words_and_only_one_column_is_marked(page):
    page.evaluate(f"{head('rank')}.querySelector('button').click()")
    page.evaluate(f"{head('variant')}.querySelector('button').click()")
    shown = column(page)[:-1]
    assert shown == sorted(shown)
    page.evaluate(f"{head('variant')}.querySelector('button').click()")
    assert column(page)[:-1] == shown[::-1]
    assert column(page)[-1].startswith("vae-mse")
    sorts = page.evaluate(f"{HEADS}.map((cell) => cell.ariaSort)")
    assert [sort for sort in sorts if sort != "none"] == ["descending"]


def test_rows_are_filtered_and_their_number_is_announced(page):
    page.evaluate("document.querySelector('#ranking-1 input').focus()")
    page.send("Input.insertText", text="BETA practice")
    assert [name.split("]")[0] for name in column(page)] == ["beta-vae[beta=0.25", "beta-vae[beta=4"]
    assert page.evaluate("document.querySelector('#ranking-1 [role=status]').textContent") == "2 of 6 rows"
    page.evaluate("document.querySelector('#ranking-1 input').select()")
    page.press("Delete", 46)
    assert len(column(page)) == 6
    assert page.evaluate("document.querySelector('#ranking-1 [role=status]').textContent") == ""


def test_pictures_load_and_open_larger(page):
    sizes = page.evaluate("Promise.all([...document.images].map((i) => i.decode().then(() => i.naturalWidth)))")
    assert len(sizes) == 3
    assert min(sizes) > 0
    page.evaluate("document.querySelector('.zoom').click()")
    assert page.evaluate("document.querySelector('dialog').open")
    assert page.evaluate("document.querySelector('dialog img').naturalWidth") > 0
    page.press("Escape", 27)
    assert page.evaluate("document.querySelector('dialog').open") is False


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_every_text_stands_out_and_nothing_is_wider_than_the_window(page, address, width, scheme, tmp_path):
    page.open(address, width, 900, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CONTRASTS) == []
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_tables_scroll_in_their_own_container_on_a_phone(page, address):
    page.open(address, PHONE, 844)
    boxes = "[...document.querySelectorAll('.scroll')].filter((box) => box.checkVisibility())"
    widths = page.evaluate(f"{boxes}.map((box) => [box.scrollWidth, box.clientWidth])")
    assert any(content > box for content, box in widths)
    assert all(box < PHONE for _, box in widths)


def test_the_colours_can_be_chosen_and_the_choice_is_kept(page, address):
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    assert page.evaluate("document.querySelector('.theme').textContent") == "Colours: auto"
    page.evaluate("document.querySelector('.theme').click(); document.querySelector('.theme').click()")
    assert page.evaluate("document.querySelector('.theme').textContent") == "Colours: dark"
    dark = page.evaluate(background)
    assert dark != light
    page.open(address)
    assert page.evaluate(background) == dark
    page.evaluate("document.querySelector('.theme').click()")
    assert page.evaluate(background) == light


def test_a_link_to_a_folded_card_unfolds_it(page):
    page.evaluate("document.querySelector('#variant-3').open = false")
    page.evaluate("document.querySelector('a[href=\"#variant-3\"]').click()")
    page.evaluate("new Promise((done) => setTimeout(done, 100))")
    assert page.evaluate("document.querySelector('#variant-3').open")


def test_it_prints_with_everything_unfolded(page):
    printed = page.send("Page.printToPDF", printBackground=True)
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    assert page.evaluate("[...document.querySelectorAll('details')].every((details) => details.open)")


def test_it_can_be_read_without_its_script(page, address):
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    page.open(address)
    page.send("Emulation.setScriptExecutionDisabled", value=False)
    assert page.evaluate("document.querySelectorAll('table').length") > 5
    assert page.evaluate("document.querySelectorAll('button, input').length") == 0
