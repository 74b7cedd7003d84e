"""The HTML report: its words, that it is one file that loads nothing, and how it looks in a browser."""

from __future__ import annotations

import base64
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer
from PIL import Image

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.degradations import AVERAGED
from anti_i2v.evaluation.html_report import MAX_BYTES, render_html
from anti_i2v.evaluation.results import CONDITIONS, Evaluation, PhotoMedia
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.text_report import render_text
from anti_i2v.evaluation.victims import ROLES
from anti_i2v_cli import app

from .synthetic_evidence import FRAMES, HEADLINE, NOTE, REFUSED, ROLE_OF, SIDE, changed, refused, survivals


@pytest.fixture(scope="module")
def html(evaluation: Evaluation) -> str:
    return render_html(evaluation)


def text_of(evaluation: Evaluation, **fields: Any) -> str:
    """Return the words of its page, rendered without pictures."""
    return Reader(render_html(Evaluation(changed(evaluation, **fields).evidence, []))).text


def first_victims_pictures(evaluation: Evaluation) -> Evaluation:
    """Keep the pictures of one victim, because encoding takes most of a test's time."""
    (media,) = evaluation.media
    name = next(iter(media.videos))
    return Evaluation(evaluation.evidence, [PhotoMedia(media.crops, {name: media.videos[name]})])


class Reader(HTMLParser):
    """A page as a parser of the standard library sees it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def bars(reader: Reader) -> list[dict[str, str | None]]:
    return [each for each in reader.all("span") if each.get("class") == "retained"]


def decoded(uri: str) -> Rgb8:
    head, data = uri.split(",", 1)
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return np.asarray(image.convert("RGB"))


# Words.


def test_the_summary_and_its_notes_come_first(html: str) -> None:
    text = Reader(html).text
    places = [
        text.index(part)
        for part in (
            f"On dit-taesd3 ({ROLES['untouched']}), the protection reduces similarity to the person clearly "
            "more than a random change of the same strength does. The videos no longer pass for the same person.",
            HEADLINE.sentence,
            NOTE.reason,
            "Results of each model",
            "Effect retained after the photo was changed",
            "Visibility of the change",
            "What was not measured",
            "anti-i2v evaluate PHOTO PROTECTED",
        )
    ]
    assert places == sorted(places)


def test_without_a_headline_the_report_says_why(evaluation: Evaluation) -> None:
    text = text_of(refused(evaluation))
    assert text.index("No headline") < text.index(f"dit-taesd3: {REFUSED.reason}") < text.index(NOTE.reason)
    assert HEADLINE.sentence not in text
    assert "No headline" not in text_of(evaluation)


def test_every_victim_states_its_role(html: str) -> None:
    assert ROLES.keys() == ROLES.keys()
    text = Reader(html).text
    for name, role in ROLE_OF.items():
        assert text.index(name) < text.index(f"{ROLES[role]}."[1:])


def test_no_report_promises_protection(evaluation: Evaluation) -> None:
    for each in (evaluation, refused(evaluation)):
        for text in (text_of(each).lower(), render_text(each.evidence).lower()):
            assert not [word for word in ("protects against", "prevent", "immun", "guarantee", "proof") if word in text]
            assert "adds friction" in text


def test_numbers_have_intervals_and_units(html: str) -> None:
    text = Reader(html).text
    for part in ("0.83 (0.66 to 1.00)", "0.42 (0.34 to 0.50)", "24.1 dB (19.3 to 28.9)", "17.8 dB (14.2 to 21.4)"):
        assert part in text


def test_the_least_retained_comes_first_with_the_control(evaluation: Evaluation) -> None:
    text = text_of(evaluation, survival=tuple(reversed(evaluation.evidence.survival)))
    assert re.findall(r"protection (-?\d+%)", text) == ["12%", "31%", "55%", "72%", "104%"]
    assert re.findall(r"random change (\d+%)", text) == ["5%", "12%", "22%", "29%", "42%"]


def test_bars_are_as_long_as_their_numbers(html: str) -> None:
    reader = Reader(html)
    widths = [float(re.findall(r"width: ([\d.]+)%", str(each["style"]))[0]) for each in bars(reader)]
    longest = 1.04 * 1.4  # the upper end of the longest interval
    expected = [part for left in (0.12, 0.31, 0.55, 0.72, 1.04) for part in (left, 0.4 * left)]
    np.testing.assert_allclose(widths, [100 * value / longest for value in expected], atol=0.051)


def test_bars_are_clamped_to_their_scale(evaluation: Evaluation) -> None:
    row = evaluation.evidence.survival[0]
    odd = (
        msgspec.structs.replace(row, retained=Estimate(-0.3, -0.6, 0.1, 2)),
        msgspec.structs.replace(row, retained=Estimate(5.0, 4.0, 9.0, 2)),
    )
    reader = Reader(render_html(Evaluation(changed(evaluation, survival=odd).evidence, [])))
    assert [each["style"] for each in bars(reader)][::2] == ["width: 0.0%", "width: 100.0%"]
    assert "protection -30% (-60% to 10%)" in reader.text
    assert "protection 500% (400% to 900%)" in reader.text


def command_on(text: str) -> dict[str, Any]:
    """Parse the command on a page with the command line's own parser."""
    words = shlex.split(text[text.index("anti-i2v evaluate PHOTO") : text.index("-o report/")] + "-o report/")
    command = typer.main.get_command(app).commands["evaluate"]
    return command.make_context("evaluate", words[2:]).params


def test_the_command_repeats_the_measurement(html: str) -> None:
    parsed = command_on(Reader(html).text)
    assert parsed["victim"] == list(ROLE_OF)
    assert (parsed["seeds"], parsed["steps"], parsed["side"]) == (2, 16, SIDE)
    assert (parsed["second"], parsed["receipt"]) == (None, None)
    assert sorted(parsed["change"]) == sorted(each.degradation for each in survivals("dit-taef1"))


def test_the_command_names_the_second_version_where_two_were_averaged(evaluation: Evaluation) -> None:
    row = msgspec.structs.replace(evaluation.evidence.survival[0], degradation=AVERAGED)
    text = text_of(evaluation, survival=(row,))
    assert command_on(text)["second"] == Path("ANOTHER")
    assert "ANOTHER by its other protected version" in text


def test_the_command_names_the_receipt_and_quotes_a_folders_name(evaluation: Evaluation) -> None:
    victim = msgspec.structs.replace(evaluation.evidence.victims[0], name="my model", role="unknown")
    text = text_of(evaluation, optimised_on=("taesd",), victims=(victim,))
    parsed = command_on(text)
    assert (parsed["receipt"], parsed["victim"]) == (Path("RECEIPT"), ["my model"])
    assert "RECEIPT by the protection's receipt" in text
    assert "For my model, give the folder." in text


def test_a_users_own_model_is_not_called_small(evaluation: Evaluation) -> None:
    victim = msgspec.structs.replace(
        evaluation.evidence.victims[0], name="cogvideox", role="unknown", summary="a video transformer"
    )
    assert "small" not in text_of(evaluation, victims=(victim,), headline=None).lower()
    assert "by small video models" in text_of(evaluation)


def test_what_was_not_measured_is_named(evaluation: Evaluation) -> None:
    few = {"victims": evaluation.evidence.victims[:2]}
    for text in (text_of(evaluation, **few), " ".join(render_text(changed(evaluation, **few).evidence).split())):
        for part in (
            "Averaged: it needs a second protected version",
            "This project's models that were not run: unet-taesd, dit-taesd3",
            "The retained effect on dit-taef1-second: it was measured only on dit-taef1",
            "The retained effect after: JPEG 95; JPEG 85; JPEG 50; ",
            "Any video model in common use",
        ):
            assert part in text


def test_a_model_from_a_folder_is_given_by_its_folder(evaluation: Evaluation) -> None:
    stray = msgspec.structs.replace(evaluation.evidence.victims[0], name="mine", role="unknown")
    assert "For mine, give the folder." in text_of(evaluation, victims=(stray,))
    assert "give the folder" not in text_of(evaluation)


def test_foreign_text_is_never_markup(evaluation: Evaluation) -> None:
    evil = '<script>alert("1")</script>'
    victim = msgspec.structs.replace(evaluation.evidence.victims[0], name=evil, summary=evil, family=evil)
    odd = msgspec.structs.replace(evaluation.evidence.survival[0], degradation=evil, victim=evil)
    html = render_html(
        changed(
            evaluation,
            victims=(victim,),
            survival=(odd,),
            not_measured=(evil,),
            issues=(msgspec.structs.replace(NOTE, reason=evil),),
            headline=msgspec.structs.replace(HEADLINE, sentence=evil, victim=evil),
            versions={evil: evil},
            device=evil,
        )
    )
    assert "<script" not in html
    assert Reader(html).text.count(evil) >= 8


SPARSE: list[tuple[str, dict[str, Any]]] = [
    ("no survival", {"survival": ()}),
    ("nothing missing", {"not_measured": ()}),
    ("no victims", {"victims": (), "survival": (), "headline": None, "issues": (REFUSED,)}),
    ("several photos", {"photos": 12}),
]


@pytest.mark.parametrize("fields", [row[1] for row in SPARSE], ids=[row[0] for row in SPARSE])
def test_sparse_evidence_still_gives_a_whole_page(evaluation: Evaluation, fields: dict[str, Any]) -> None:
    reader = Reader(render_html(changed(first_victims_pictures(evaluation), **fields)))
    assert reader.open == []
    assert "What was not measured" in reader.text


def test_a_victim_without_a_measured_person_says_so(evaluation: Evaluation) -> None:
    first = evaluation.evidence.victims[0]
    bare = tuple(msgspec.structs.replace(each, metrics={}, effects={}) for each in first.conditions)
    victim = msgspec.structs.replace(first, conditions=bare, comparisons=())
    assert (
        "Neither the person nor the first frame was measured."
        in Reader(render_html(changed(evaluation, victims=(victim,)))).text
    )


def test_equal_photos_are_called_equal(evaluation: Evaluation) -> None:
    (seen,) = evaluation.evidence.imperceptibility
    same = msgspec.structs.replace(seen, psnr=None)
    assert "The photos are equal" in text_of(evaluation, imperceptibility=(same,))


# Document.


def test_the_page_is_one_file_that_loads_nothing_and_runs_nothing(html: str) -> None:
    reader = Reader(html)
    assert reader.open == []
    assert {name for name, _ in reader.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "a"})
    for _, attributes in reader.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("href", "srcset", "background")]
    assert all(str(each["src"]).startswith("data:image/webp;base64,") for each in reader.all("img"))
    assert "url(" not in html
    assert "@import" not in html
    assert "http://" not in html
    assert "https://" not in html
    (policy,) = [each["content"] for each in reader.all("meta") if each.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'")


def test_the_page_is_well_formed_and_accessible(html: str) -> None:
    reader = Reader(html)
    assert reader.all("html") == [{"lang": "en"}]
    assert len(reader.all("h1")) == len(reader.all("main")) == 1
    alts = [str(each["alt"]) for each in reader.all("img")]
    assert len(alts) == len(ROLE_OF) * 6 + 3
    assert len(set(alts)) == len(alts)
    assert "8 frames by dit-taef1, with a random change of the same strength" in alts
    levels = [int(name[1]) for name, _ in reader.tags if re.fullmatch(r"h\d", name)]
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_pictures_are_the_first_seeds_at_their_own_size(evaluation: Evaluation) -> None:
    reader = Reader(render_html(changed(evaluation, victims=evaluation.evidence.victims[:1])))
    pictures = {str(each["alt"]): each for each in reader.all("img")}
    video = evaluation.media[0].videos["dit-taef1"]["protected"][0]
    strip = pictures["8 frames by dit-taef1, with protection"]
    assert (strip["width"], strip["height"]) == (str(FRAMES * SIDE), str(SIDE))
    np.testing.assert_array_equal(decoded(str(strip["src"])), np.concatenate(list(video), axis=1))
    last = decoded(str(pictures["last frame by dit-taef1, with protection"]["src"]))
    np.testing.assert_array_equal(last, video[-1])
    assert "are lossless" in reader.text


def test_a_long_and_large_video_is_thinned_for_its_strip(evaluation: Evaluation) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (49, 1, 1, 3), dtype=np.uint8)
    video = np.broadcast_to(frames, (49, 480, 480, 3))[None]
    victim = msgspec.structs.replace(evaluation.evidence.victims[0], frames=49)
    media = PhotoMedia(crops=evaluation.media[0].crops, videos={victim.name: dict.fromkeys(CONDITIONS, video)})
    reader = Reader(render_html(Evaluation(changed(evaluation, victims=(victim,)).evidence, [media])))
    pictures = {each["alt"]: each for tag, each in reader.tags if tag == "img"}
    strip = decoded(str(pictures["16 frames by dit-taef1, with protection"]["src"]))
    assert strip.shape == (256, 16 * 256, 3)
    np.testing.assert_array_equal(strip[128, [128, -128]], frames[[0, -1], 0, 0])
    assert "16 of 49 frames" in reader.text


def test_many_victims_lower_the_picture_quality_to_stay_small(evaluation: Evaluation) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    names = [f"victim-{index}" for index in range(6)]
    media = PhotoMedia(
        crops=evaluation.media[0].crops, videos={name: dict.fromkeys(CONDITIONS, noise) for name in names}
    )
    victims = tuple(msgspec.structs.replace(evaluation.evidence.victims[0], name=name) for name in names)
    html = render_html(Evaluation(changed(evaluation, victims=victims).evidence, [media]))
    assert len(html.encode()) < MAX_BYTES
    assert "are WebP of quality" in Reader(html).text


def test_the_same_evaluation_gives_the_same_page(evaluation: Evaluation) -> None:
    small = first_victims_pictures(evaluation)
    assert render_html(small) == render_html(small)


# In a browser.

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="the page is tested in Chromium, which is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(evaluation: Evaluation, html: str) -> dict[str, str]:
    return {"a headline": html, "no headline": render_html(refused(first_victims_pictures(evaluation)))}


# Whichever two of width, scheme and page meet, they do in the default run; all three in every way in the slow one.
LOOKS = [
    pytest.param(width, scheme, made, id=f"{width}-{scheme}-{made}", marks=() if met else pytest.mark.slow)
    for width, narrow in ((320, True), (1280, False))
    for scheme, bright in (("light", True), ("dark", False))
    for made, met in (("a headline", narrow == bright), ("no headline", narrow != bright))
]


@in_browser
@pytest.mark.parametrize(("width", "scheme", "made"), LOOKS)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    browser: Any, pages: dict[str, str], tmp_path: Path, width: int, scheme: str, made: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with this package").Axe()
    (tmp_path / "index.html").write_text(pages[made], encoding="utf-8")
    # axe is a script, which the page's own policy forbids.
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    opened = context.new_page()
    opened.goto((tmp_path / "index.html").as_uri())
    opened.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    found = axe.run(opened).response["violations"]
    assert [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found] == []
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


@in_browser
def test_a_browser_shows_every_picture_and_requests_nothing(
    browser: Any, evaluation: Evaluation, tmp_path: Path
) -> None:
    # 256 pixels: with videos of 128, a height that only the style sets would not show.
    large = {
        name: {condition: video.repeat(2, 2).repeat(2, 3) for condition, video in videos.items()}
        for name, videos in first_victims_pictures(evaluation).media[0].videos.items()
    }
    media = PhotoMedia(crops=evaluation.media[0].crops, videos=large)
    (tmp_path / "index.html").write_text(render_html(Evaluation(evaluation.evidence, [media])), encoding="utf-8")
    context = browser.new_context(java_script_enabled=True, viewport={"width": 1280, "height": 800})
    requested: list[str] = []
    faults: list[str] = []
    context.on("request", lambda request: requested.append(request.url))
    opened = context.new_page()
    opened.on("console", lambda line: faults.append(line.text))
    opened.goto((tmp_path / "index.html").as_uri())
    assert opened.evaluate("[...document.images].every((each) => each.complete && each.naturalWidth > 0)")
    stretched = "Math.abs(each.width / each.height - each.naturalWidth / each.naturalHeight) > 0.01"
    assert opened.evaluate(f"[...document.images].filter((each) => {stretched}).map((each) => each.alt)") == []
    assert [url for url in requested if not url.startswith(("data:", "file:"))] == []
    assert faults == []
    context.close()
