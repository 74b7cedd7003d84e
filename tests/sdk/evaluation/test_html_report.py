"""The page of an evaluation: what it says, that it is one file that loads nothing, and how it looks in a browser."""

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
from anti_i2v.evaluation.html_report import LARGEST, page
from anti_i2v.evaluation.results import CONDITIONS, Evaluation, Scene
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.text_report import ROLE_WORDS, as_text
from anti_i2v.evaluation.victims import ROLES
from anti_i2v_cli import app

from .synthetic_evidence import FRAMES, HEADLINE, NOTE, REFUSED, ROLE_OF, SIDE, changed, refused, survivals


@pytest.fixture(scope="module")
def said(evaluation: Evaluation) -> str:
    return page(evaluation)


def text_of(evaluation: Evaluation, **fields: Any) -> str:
    """The words of its page; pictures are left out, which take their time."""
    return Reader(page(Evaluation(changed(evaluation, **fields).evidence, []))).text


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
    return [each for each in reader.all("span") if each.get("class") == "left"]


def decoded(uri: str) -> Rgb8:
    head, data = uri.split(",", 1)
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return np.asarray(image.convert("RGB"))


# What it says.


def test_the_answer_comes_first_with_what_to_keep_in_mind(said: str) -> None:
    text = Reader(said).text
    places = [
        text.index(part)
        for part in (
            "On dit-taesd3, a model that the protection never met, nor its image encoder, the protection spoils the "
            "likeness of the person clearly more than a random change of the same strength does. The videos no longer "
            "pass for the same person.",
            HEADLINE.sentence,
            NOTE.reason,
            "What each model made of it",
            "What is left after what happens to a photo",
            "What the change costs the eye",
            "What was not measured",
            "anti-i2v evaluate PHOTO PROTECTED",
        )
    ]
    assert places == sorted(places)


def test_without_a_headline_the_page_refuses_to_sum_up_and_says_why(evaluation: Evaluation) -> None:
    text = text_of(refused(evaluation))
    assert text.index("No headline") < text.index(f"dit-taesd3: {REFUSED.reason}") < text.index(NOTE.reason)
    assert HEADLINE.sentence not in text
    assert "No headline" not in text_of(evaluation)


def test_every_victim_says_its_role_in_plain_words(said: str) -> None:
    assert ROLE_WORDS.keys() == ROLES.keys()
    text = Reader(said).text
    for name, role in ROLE_OF.items():
        assert text.index(name) < text.index(f"{ROLE_WORDS[role]}.")


def test_no_page_promises_what_nobody_can(evaluation: Evaluation) -> None:
    for each in (evaluation, refused(evaluation)):
        for text in (text_of(each).lower(), as_text(each.evidence).lower()):
            assert not [word for word in ("protects against", "prevent", "immun", "guarantee", "proof") if word in text]
            assert "adds friction" in text


def test_numbers_stand_with_their_intervals_and_units(said: str) -> None:
    text = Reader(said).text
    for said in ("0.83 (0.66 to 1.00)", "0.42 (0.34 to 0.50)", "24.1 dB (19.3 to 28.9)", "17.8 dB (14.2 to 21.4)"):
        assert said in text


def test_survival_is_told_worst_first_beside_the_control(evaluation: Evaluation) -> None:
    text = text_of(evaluation, survival=tuple(reversed(evaluation.evidence.survival)))
    assert re.findall(r"protection (-?\d+%)", text) == ["12%", "31%", "55%", "72%", "104%"]
    assert re.findall(r"random change (\d+%)", text) == ["5%", "12%", "22%", "29%", "42%"]


def test_bars_are_as_long_as_their_numbers(said: str) -> None:
    reader = Reader(said)
    widths = [float(re.findall(r"width: ([\d.]+)%", str(each["style"]))[0]) for each in bars(reader)]
    longest = 1.04 * 1.4  # the upper end of the longest interval
    expected = [part for left in (0.12, 0.31, 0.55, 0.72, 1.04) for part in (left, 0.4 * left)]
    np.testing.assert_allclose(widths, [100 * value / longest for value in expected], atol=0.051)


def test_a_bar_below_nothing_is_empty_and_one_beyond_the_scale_is_full(evaluation: Evaluation) -> None:
    row = evaluation.evidence.survival[0]
    odd = (
        msgspec.structs.replace(row, retained=Estimate(-0.3, -0.6, 0.1, 2)),
        msgspec.structs.replace(row, retained=Estimate(5.0, 4.0, 9.0, 2)),
    )
    reader = Reader(page(changed(evaluation, survival=odd)))
    assert [each["style"] for each in bars(reader)][::2] == ["width: 0.0%", "width: 100.0%"]
    assert "protection -30% (-60% to 10%)" in reader.text
    assert "protection 500% (400% to 900%)" in reader.text


def asked_by(text: str) -> dict[str, Any]:
    """What the command on a page asks for, as the command line reads it."""
    words = shlex.split(text[text.index("anti-i2v evaluate PHOTO") : text.index("-o report/")] + "-o report/")
    command = typer.main.get_command(app).commands["evaluate"]
    return command.make_context("evaluate", words[2:]).params


def test_the_command_measures_the_same_again(said: str) -> None:
    asked = asked_by(Reader(said).text)
    assert asked["victim"] == list(ROLE_OF)
    assert (asked["seeds"], asked["steps"], asked["side"]) == (2, 16, SIDE)
    assert (asked["second"], asked["receipt"]) == (None, None)
    assert sorted(asked["change"]) == sorted(each.change for each in survivals("dit-taef1"))


def test_the_command_names_the_second_version_where_two_were_averaged(evaluation: Evaluation) -> None:
    row = msgspec.structs.replace(evaluation.evidence.survival[0], change=AVERAGED)
    text = text_of(evaluation, survival=(row,))
    assert asked_by(text)["second"] == Path("ANOTHER")
    assert "its other protected version for ANOTHER" in text


def test_the_command_names_the_receipt_and_quotes_a_folders_name(evaluation: Evaluation) -> None:
    victim = msgspec.structs.replace(evaluation.evidence.victims[0], name="my model", role="unknown")
    text = text_of(evaluation, optimised_on=("taesd",), victims=(victim,))
    asked = asked_by(text)
    assert (asked["receipt"], asked["victim"]) == (Path("RECEIPT"), ["my model"])
    assert "the protection's receipt for RECEIPT" in text
    assert "Of my model give the folder." in text


def test_a_model_of_the_persons_own_is_not_called_small(evaluation: Evaluation) -> None:
    victim = msgspec.structs.replace(
        evaluation.evidence.victims[0], name="cogvideox", role="unknown", summary="a video transformer"
    )
    assert "small" not in text_of(evaluation, victims=(victim,), headline=None).lower()
    assert "What small video models make" in text_of(evaluation)


def test_what_was_not_measured_is_named(evaluation: Evaluation) -> None:
    few = {"victims": evaluation.evidence.victims[:2]}
    for text in (text_of(evaluation, **few), " ".join(as_text(changed(evaluation, **few).evidence).split())):
        for said in (
            "Averaged: it takes a second protected version",
            "Models of this project that made no videos here: unet-taesd, dit-taesd3",
            "What is left after changes on dit-taef1-second: it was looked at on dit-taef1 alone",
            "What is left after: JPEG 95; JPEG 85; JPEG 50; ",
            "Any model that people use to make videos",
        ):
            assert said in text


def test_a_model_from_a_folder_is_given_by_its_folder(evaluation: Evaluation) -> None:
    stray = msgspec.structs.replace(evaluation.evidence.victims[0], name="mine", role="unknown")
    assert "Of mine give the folder." in text_of(evaluation, victims=(stray,))
    assert "give the folder" not in text_of(evaluation)


def test_whatever_comes_from_elsewhere_is_text_and_never_markup(evaluation: Evaluation) -> None:
    evil = '<script>alert("1")</script>'
    victim = msgspec.structs.replace(evaluation.evidence.victims[0], name=evil, summary=evil, family=evil)
    odd = msgspec.structs.replace(evaluation.evidence.survival[0], change=evil, victim=evil)
    said = page(
        changed(
            evaluation,
            victims=(victim,),
            survival=(odd,),
            not_measured=(evil,),
            doubts=(msgspec.structs.replace(NOTE, reason=evil),),
            headline=msgspec.structs.replace(HEADLINE, sentence=evil, victim=evil),
            versions={evil: evil},
            device=evil,
        )
    )
    assert "<script" not in said
    assert Reader(said).text.count(evil) >= 8


SPARSE: list[tuple[str, dict[str, Any]]] = [
    ("no survival", {"survival": ()}),
    ("nothing missing", {"not_measured": ()}),
    ("no victims", {"victims": (), "survival": (), "headline": None, "doubts": (REFUSED,)}),
    ("several photos", {"photos": 12}),
]


@pytest.mark.parametrize("fields", [row[1] for row in SPARSE], ids=[row[0] for row in SPARSE])
def test_a_page_of_less_is_still_a_whole_page(evaluation: Evaluation, fields: dict[str, Any]) -> None:
    reader = Reader(page(changed(evaluation, **fields)))
    assert reader.open == []
    assert "What was not measured" in reader.text


def test_a_victim_without_a_measured_person_says_so(evaluation: Evaluation) -> None:
    first = evaluation.evidence.victims[0]
    bare = tuple(msgspec.structs.replace(each, verdicts={}, falls={}) for each in first.conditions)
    victim = msgspec.structs.replace(first, conditions=bare, comparisons=())
    assert (
        "Neither the person nor the first frame was measured."
        in Reader(page(changed(evaluation, victims=(victim,)))).text
    )


def test_equal_photos_are_called_equal(evaluation: Evaluation) -> None:
    (seen,) = evaluation.evidence.imperceptibility
    same = msgspec.structs.replace(seen, psnr=None)
    assert "The photos are equal" in text_of(evaluation, imperceptibility=(same,))


# What it is.


def test_the_page_is_one_file_that_loads_nothing_and_runs_nothing(said: str) -> None:
    reader = Reader(said)
    assert reader.open == []
    assert {name for name, _ in reader.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "a"})
    for _, attributes in reader.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("href", "srcset", "background")]
    assert all(str(each["src"]).startswith("data:image/webp;base64,") for each in reader.all("img"))
    assert "url(" not in said
    assert "@import" not in said
    assert "http://" not in said
    assert "https://" not in said
    (policy,) = [each["content"] for each in reader.all("meta") if each.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'")


def test_the_page_is_well_formed_and_speaks_to_screen_readers(said: str) -> None:
    reader = Reader(said)
    assert reader.all("html") == [{"lang": "en"}]
    assert len(reader.all("h1")) == len(reader.all("main")) == 1
    alts = [str(each["alt"]) for each in reader.all("img")]
    assert len(alts) == len(ROLE_OF) * 6 + 3
    assert len(set(alts)) == len(alts)
    assert "8 frames that dit-taef1 made, with a random change of the same strength" in alts
    levels = [int(name[1]) for name, _ in reader.tags if re.fullmatch(r"h\d", name)]
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_pictures_are_the_first_seeds_at_their_own_size(evaluation: Evaluation) -> None:
    reader = Reader(page(changed(evaluation, victims=evaluation.evidence.victims[:1])))
    pictures = {str(each["alt"]): each for each in reader.all("img")}
    video = evaluation.scenes[0].videos["dit-taef1"]["protected"][0]
    strip = pictures["8 frames that dit-taef1 made, with protection"]
    assert (strip["width"], strip["height"]) == (str(FRAMES * SIDE), str(SIDE))
    np.testing.assert_array_equal(decoded(str(strip["src"])), np.concatenate(list(video), axis=1))
    last = decoded(str(pictures["last frame that dit-taef1 made, with protection"]["src"]))
    np.testing.assert_array_equal(last, video[-1])
    assert "are kept in this page without loss" in reader.text


def test_a_long_and_large_video_is_thinned_for_its_strip(evaluation: Evaluation) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (49, 1, 1, 3), dtype=np.uint8)
    video = np.broadcast_to(frames, (49, 480, 480, 3))[None]
    victim = msgspec.structs.replace(evaluation.evidence.victims[0], frames=49)
    scene = Scene(views=evaluation.scenes[0].views, videos={victim.name: dict.fromkeys(CONDITIONS, video)})
    reader = Reader(page(Evaluation(changed(evaluation, victims=(victim,)).evidence, [scene])))
    pictures = {each["alt"]: each for tag, each in reader.tags if tag == "img"}
    strip = decoded(str(pictures["16 frames that dit-taef1 made, with protection"]["src"]))
    assert strip.shape == (256, 16 * 256, 3)
    np.testing.assert_array_equal(strip[128, [128, -128]], frames[[0, -1], 0, 0])
    assert "16 of its 49 frames" in reader.text


def test_a_page_of_many_victims_stays_small_and_says_what_that_cost(evaluation: Evaluation) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    names = [f"victim-{index}" for index in range(6)]
    scene = Scene(views=evaluation.scenes[0].views, videos={name: dict.fromkeys(CONDITIONS, noise) for name in names})
    victims = tuple(msgspec.structs.replace(evaluation.evidence.victims[0], name=name) for name in names)
    said = page(Evaluation(changed(evaluation, victims=victims).evidence, [scene]))
    assert len(said.encode()) < LARGEST
    assert "as WebP of quality" in Reader(said).text


def test_the_same_evaluation_gives_the_same_page(evaluation: Evaluation, said: str) -> None:
    assert page(evaluation) == said


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
def pages(evaluation: Evaluation, said: str) -> dict[str, str]:
    return {"a headline": said, "no headline": page(refused(evaluation))}


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
def test_a_browser_without_scripts_shows_every_picture_and_asks_nobody(
    browser: Any, evaluation: Evaluation, tmp_path: Path
) -> None:
    # Twice as large as the others' videos: at 128 pixels a height that the style gives alone would not show.
    large = {
        name: {condition: video.repeat(2, 2).repeat(2, 3) for condition, video in videos.items()}
        for name, videos in evaluation.scenes[0].videos.items()
    }
    scene = Scene(views=evaluation.scenes[0].views, videos=large)
    (tmp_path / "index.html").write_text(page(Evaluation(evaluation.evidence, [scene])), encoding="utf-8")
    context = browser.new_context(java_script_enabled=True, viewport={"width": 1280, "height": 800})
    asked: list[str] = []
    faults: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    opened = context.new_page()
    opened.on("console", lambda line: faults.append(line.text))
    opened.goto((tmp_path / "index.html").as_uri())
    assert opened.evaluate("[...document.images].every((each) => each.complete && each.naturalWidth > 0)")
    stretched = "Math.abs(each.width / each.height - each.naturalWidth / each.naturalHeight) > 0.01"
    assert opened.evaluate(f"[...document.images].filter((each) => {stretched}).map((each) => each.alt)") == []
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert faults == []
    context.close()
