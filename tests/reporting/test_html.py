"""report.html: well-formed, self-contained, accessible in its structure, and never markup where text was meant."""

import itertools
import re

import pytest

from tests.reporting.fabrication import TINY, fabricate, failed, plausible
from tests.reporting.stand_ins import Reader, content_of, pictures
from vaebench.reporting.html import digest, render_html
from vaebench.reporting.markdown import render_markdown
from vaebench.reporting.templates import ReportError
from vaebench.suite.loading import load_suite_mapping

QUESTION = TINY["contrasts"][0]["question"]
HOSTILE = "<script>alert(1)</script> \"quoted\" 'x' <img src=x onerror=alert(2)> {{ 7 * 7 }} {% raw %} & </p> ]]>"
SHOWN = " ".join(HOSTILE.split())


@pytest.fixture
def page(tiny, results, tmp_path):
    fabricate(tiny, results, instead={"vae-mse": failed})
    drawn = pictures(tmp_path / "figures", QUESTION, "vae-mse")
    return Reader(render_html(content_of(tiny, results, pictures=drawn)))


def test_the_page_asks_for_nothing(page):
    addresses = [value for name in ("src", "href", "action", "poster", "srcset") for value in page.values(name)]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"url\(|@import|https?:", page.texts["style"])
    assert not re.search(r"fetch|XMLHttpRequest|import\(|WebSocket|https?:", page.texts["script"])
    assert [policy for policy in page.all("meta") if "default-src 'none'" in policy.get("content", "")]


def test_what_could_have_been_seen_stands_apart_from_its_unit(tiny, results):
    def numbers(planned, column):
        noise = {0: 0.1, 1: -0.1, 2: 0.05, 3: -0.02, 4: 0.01}[planned.cell.seed]
        return 3.0 + (noise if planned.variant == "vae-mse" else 0.0)

    fabricate(tiny, results, numbers=numbers)
    text = re.sub(r"<[^>]*>", "", render_html(content_of(tiny, results)))
    assert re.search(r"These seeds would have shown a difference of 0\.2\d* bits per pixel with 80", text)
    assert not re.search(r"\d(bits|nats|squared)", text)


def test_only_the_scripts_own_digest_may_run(page):
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert len(page.all("script")) == 1
    assert f"script-src '{digest(page.texts['script'])}'" in policy
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_ids_are_unique_and_whatever_refers_to_one_finds_it(page):
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    named = [address[1:] for address in page.values("href") if address.startswith("#")]
    described = [
        word for name in ("aria-labelledby", "aria-describedby") for word in " ".join(page.values(name)).split()
    ]
    assert {*named, *described} <= {*ids}
    assert {"question-1", "variant-1", "missing"} <= {*named}


def test_every_table_says_what_it_holds_and_every_heading_of_it_what_it_heads(page):
    tables = page.all("table")
    assert len(tables) == len(page.all("caption")) > 5
    assert {cell.get("scope") for cell in page.all("th")} == {"col", "row"}


def test_headings_come_in_order_and_landmarks_are_there_once(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert len(page.all(landmark)) == 1
    assert page.all("html") == [{"lang": "en"}]


def test_every_picture_is_in_the_page_with_words_that_stand_for_it(page):
    images = page.all("img")
    assert [image["src"].partition(",")[0] for image in images] == [
        "data:image/png;base64",
        "data:image/svg+xml",
        "data:image/svg+xml",
    ]
    assert {image["alt"] for image in images} == {
        f"The {section}. What there is to see." for section in ("overview", "contrast", "variant")
    }
    captions = " ".join(page.texts["figcaption"].split())
    assert captions.count("What there is to see.") == 3


def test_the_questions_come_first_and_their_verdicts_are_badges(tiny, results):
    fabricate(
        tiny, results, numbers=lambda planned, column: plausible(planned, column) + 0.3 * (planned.variant == "vae-mse")
    )
    text = render_html(content_of(tiny, results))
    assert text.index('id="questions"') < text.index('id="leaderboard"') < text.index('id="variants"')
    assert '<span class="badge theory-better">theory better</span>' in text
    assert "seed standard deviations</strong>" in text


def test_rows_without_a_rank_stand_in_a_body_of_their_own_below(page):
    ranking = page.page.split('<article class="ranking" id="ranking-1"')[1].split("</table>")[0]
    above, below = ranking.split('<tbody class="below">')
    assert "vae-mse" in below
    assert "vae-mse" not in above.split("<tbody>")[1]
    assert "failed: seeds 0, 1, 2, 3, 4" in below


def test_a_command_for_each_row_is_shown_and_quoted_for_a_shell(page):
    assert "vaebench run tiny --only 'digits/grey/beta-vae[beta=4]' --seeds 5" in page.words
    assert "vaebench run tiny --only digits/binary/vae --seeds 5" in page.words


def test_seeds_that_are_no_range_are_left_to_the_file(results):
    suite = load_suite_mapping({**TINY, "seeds": [3, 7, 9, 11, 13]})
    fabricate(suite, results)
    assert "--seeds" not in Reader(render_html(content_of(suite, results))).words


@pytest.fixture
def hostile(results, tmp_path):
    """A suite whose every free text is an attack."""
    content = {**TINY, "description": HOSTILE, "contrasts": [{**TINY["contrasts"][0], "question": HOSTILE}]}
    texts = {"title": HOSTILE, "source": HOSTILE, "departs": HOSTILE, "mended": HOSTILE}
    content["variants"] = [{"extends": "vae-gaussian", **texts}, "vae-mse"]
    suite = load_suite_mapping({**content, "datasets": ["digits/grey"]})
    fabricate(suite, results, instead={"vae-mse": lambda planned: failed(planned, "error", HOSTILE)})
    info = {"command": HOSTILE, "environment": {HOSTILE: HOSTILE}}
    return content_of(suite, results, info, pictures(tmp_path / "figures", HOSTILE, "vae-gaussian", HOSTILE))


def test_text_from_users_is_text_in_html(hostile):
    page = Reader(render_html(hostile))
    assert len(page.all("script")) == 1
    assert len(page.all("img")) == 3
    assert "onerror" not in [name for _, attributes in page.elements for name in attributes]
    assert page.words.count(SHOWN) >= 12
    assert f"The contrast. {SHOWN}" in [image["alt"] for image in page.all("img")]


def test_templates_in_texts_from_users_are_not_rendered(hostile):
    assert "{{ 7 * 7 }} {% raw %}" in render_html(hostile)
    assert "{{ 7 * 7 }} {% raw %}" in render_markdown(hostile)
    assert "49" not in Reader(render_html(hostile)).words


def test_control_characters_do_not_reach_the_page(tiny, results):
    fabricate(tiny, results)
    text = render_html(content_of(tiny, results, {"environment": {"cpu": "a\x00b\x1b[31mc\u2028d"}}))
    assert "a b [31mc d" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)


def test_a_user_may_replace_a_template_the_style_and_the_script(tiny, results, tmp_path):
    (tmp_path / "questions.html.jinja").write_text("<p>Asked: {{ questions | length }}</p>\n")
    (tmp_path / "report.css").write_text("body { color: teal }\n")
    (tmp_path / "report.js").write_text("document.title += ' 1 < 2 && true';\n")
    fabricate(tiny, results)
    page = Reader(render_html(content_of(tiny, results), tmp_path))
    assert "Asked: 3" in page.words
    assert page.texts["style"].strip() == "body { color: teal }"
    assert f"script-src '{digest(page.texts['script'])}'" in page.page


@pytest.mark.parametrize("render", [render_html, render_markdown])
@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("one\n{{ nobody }}", r"method\.\w+\.jinja:2: 'nobody' is undefined"),
        ("{{ ''.__class__.__mro__ }}", r"access to attribute '__class__' of 'str' object is unsafe"),
        ("{% if %}", r"method\.\w+\.jinja"),
    ],
)
def test_a_template_that_is_broken_or_reaches_too_far_is_refused(tiny, results, tmp_path, render, template, what):
    for kind in ("html", "md"):
        (tmp_path / f"method.{kind}.jinja").write_text(template)
    with pytest.raises(ReportError, match=what):
        render(content_of(tiny, results), tmp_path)


def test_a_report_without_contrasts_seeds_or_records_is_complete_too(results):
    bare = load_suite_mapping(
        {"suite": "bare", "datasets": ["digits/binary"], "seeds": 1, "variants": ["vae"], "metrics": ["elbo"]}
    )
    page = Reader(render_html(content_of(bare, results)))
    assert "1 variant on 1 data set view, 1 seed each: 1 model" in page.words
    assert "0 complete, 1 not" in page.words
    assert "questions" not in page.values("id")
