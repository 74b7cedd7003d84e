"""The page of an evaluation: what it says, that it is one file that loads nothing, and how it looks in a browser."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from anti_i2v.evaluation.doubts import Doubt
from anti_i2v.evaluation.page import LARGEST, page
from anti_i2v.evaluation.records import (
    CONDITIONS,
    Comparison,
    Condition,
    ConditionName,
    Evaluation,
    Evidence,
    Headline,
    Scene,
    Survival,
    VictimEvidence,
    ViewEvidence,
)
from anti_i2v.evaluation.statistics import Estimate
from anti_i2v.evaluation.victims import ROLES, Role
from anti_i2v.evaluation.words import COLUMNS, ROLE_WORDS, as_text, finding, plain_answer
from anti_i2v.metrics.imperceptibility import compare

Rgb8 = NDArray[np.uint8]

PORTRAIT = Path(__file__).parents[2] / "data" / "portraits" / "filippo_giunchedi.jpg"
SIDE, FRAMES, SEEDS = 128, 8, (0, 1)
ROLE_OF: dict[str, Role] = {
    "dit-taef1": "white-box",
    "dit-taef1-second": "sibling",
    "unet-taesd": "encoder",
    "dit-taesd3": "untouched",
}
FALLS: dict[ConditionName, dict[str, float]] = {
    "clean": {},
    "protected": {"identity": 0.41, "first_frame_psnr": 6.3, "first_frame_lpips": 0.22},
    "random_psnr": {"identity": 0.05, "first_frame_psnr": 1.1, "first_frame_lpips": 0.04},
    "random_levels": {"identity": 0.11, "first_frame_psnr": 1.9, "first_frame_lpips": 0.07},
}
CLEAN = {"identity": 0.83, "first_frame_psnr": 24.1, "first_frame_lpips": 0.08, "motion": 0.4}


def about(mean: float, part: float = 0.2, count: int = 2) -> Estimate:
    half = abs(mean) * part
    return Estimate(mean, mean - half, mean + half, count)


def a_condition(name: ConditionName) -> Condition:
    sign = {"first_frame_lpips": -1}
    verdicts = {each: about(value - sign.get(each, 1) * FALLS[name].get(each, 0)) for each, value in CLEAN.items()}
    return Condition(name=name, verdicts=verdicts, falls={each: about(fall) for each, fall in FALLS[name].items()})


def a_comparison(measure: str, *, more: bool = True, ratio: Estimate | None = None) -> Comparison:
    fall, control = FALLS["protected"][measure], FALLS["random_psnr"][measure]
    return Comparison(
        measure=measure,
        fall=about(fall),
        control_fall=about(control),
        difference=about(fall - control),
        ratio=ratio,
        clearly_more=more,
    )


def a_victim(name: str, role: Role) -> VictimEvidence:
    return VictimEvidence(
        name=name,
        family="CogVideoX",
        encoder=name.split("-")[1],
        role=role,
        summary="a small video transformer as CogVideoX has it, on 16-channel latents",
        frames=FRAMES,
        steps=16,
        conditions=tuple(a_condition(each) for each in CONDITIONS),
        comparisons=(
            a_comparison("identity", ratio=about(8.2)),
            a_comparison("first_frame_psnr", more=False, ratio=about(5.7)),
            a_comparison("first_frame_lpips"),
        ),
    )


def survivals(victim: str) -> tuple[Survival, ...]:
    left = {"AdverseCleaner": 0.12, "jpeg75, half size": 0.31, "half size": 0.55, "jpeg75": 0.72, "noise": 1.04}
    return tuple(
        Survival(
            change=change,
            victim=victim,
            measure="identity",
            left=about(part, 0.4),
            control_left=about(0.4 * part),
            fall=about(0.4 * part),
            control_fall=about(0.05 * part),
        )
        for change, part in left.items()
    )


HEADLINE = Headline(
    victim="dit-taesd3",
    role="untouched",
    sentence="On a model that no recipe ever saw, videos keep the person half as well as without protection.",
    comparisons=(a_comparison("identity", ratio=about(8.2)),),
)
NOTE = Doubt(kind="few", severity="note", reason="1 photo under 2 seeds: another photo may fare otherwise")
REFUSED = Doubt(kind="effect", severity="no headline", reason="the effect is within the control's", victim="dit-taesd3")


@pytest.fixture(scope="module")
def views() -> dict[ConditionName, Rgb8]:
    with Image.open(PORTRAIT) as portrait:
        clean = np.asarray(portrait.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))
    signs = np.random.default_rng(0).integers(-1, 2, (3, *clean.shape)) * 6
    moved = [(clean + delta).clip(0, 255).astype(np.uint8) for delta in signs]
    return {"clean": clean, "protected": moved[0], "random_psnr": moved[1], "random_levels": moved[2]}


def videos_of(view: Rgb8, strength: int) -> Rgb8:
    """(S, T, side, side, 3): in place of a model's videos: the photo, spoiled and shifted from frame to frame."""
    made = np.stack([np.stack([np.roll(view, (seed, step), (0, 1)) for step in range(FRAMES)]) for seed in SEEDS])
    noise = np.random.default_rng(1).normal(0, strength, made.shape)
    found: Rgb8 = (made + noise).clip(0, 255).astype(np.uint8)
    return found


@pytest.fixture(scope="module")
def evaluation(views: dict[ConditionName, Rgb8]) -> Evaluation:
    strengths: dict[ConditionName, int] = {"clean": 1, "protected": 40, "random_psnr": 8, "random_levels": 12}
    videos = {name: {each: videos_of(views[each], strengths[each]) for each in CONDITIONS} for name in ROLE_OF}
    evidence = Evidence(
        headline=HEADLINE,
        doubts=(NOTE,),
        photos=1,
        seeds=SEEDS,
        imperceptibility=(compare(views["clean"], views["protected"]),),
        views=(
            ViewEvidence(box=(40, 20, 256, 256), scale=0.5, energy_left=0.43, psnr=34.2, control_psnr=34.2, face=True),
        ),
        victims=tuple(a_victim(name, role) for name, role in ROLE_OF.items()),
        survival=survivals("dit-taef1"),
        not_measured=("averaged: it takes a second protected version",),
        seconds=213.4,
        versions={"anti-i2v-sdk": "0.1.0"},
    )
    return Evaluation(evidence, [Scene(views=views, videos=videos)])


@pytest.fixture(scope="module")
def said(evaluation: Evaluation) -> str:
    return page(evaluation)


def changed(evaluation: Evaluation, **fields: Any) -> Evaluation:
    return Evaluation(msgspec.structs.replace(evaluation.evidence, **fields), evaluation.scenes)


def text_of(evaluation: Evaluation, **fields: Any) -> str:
    """The words of its page; pictures are left out, which take their time."""
    return Reader(page(Evaluation(changed(evaluation, **fields).evidence, []))).text


def refused(evaluation: Evaluation) -> Evaluation:
    return changed(evaluation, headline=None, doubts=(REFUSED, NOTE))


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


def test_a_finding_says_direction_size_control_and_whether_it_is_clear() -> None:
    assert finding(a_comparison("identity", ratio=about(8.2))) == (
        "With the protection the likeness of the person fell by 0.41 (0.33 to 0.49); with the random change it fell by "
        "0.05 (0.04 to 0.06): clearly more, 8.2 times as far."
    )
    assert finding(a_comparison("first_frame_lpips")) == (
        "With the protection the first frame's distance to the photo rose by 0.22 (0.18 to 0.26); with the random "
        "change it rose by 0.04 (0.03 to 0.05): clearly more; the random change did nothing that can be measured."
    )
    assert finding(a_comparison("first_frame_psnr", more=False)).endswith(": not clearly more than the random change.")


def test_what_became_better_is_not_called_damage() -> None:
    better = msgspec.structs.replace(a_comparison("identity", more=False), fall=Estimate(-0.02, -0.05, 0.01, 2))
    assert "rose by 0.02 (-0.01 to 0.05)" in finding(better)
    assert finding(better).endswith(": no damage.")
    still = msgspec.structs.replace(better, fall=Estimate(0.0, 0.0, 0.0, 2))
    assert "the likeness of the person did not change" in finding(still)


def test_one_video_has_no_interval() -> None:
    alone = msgspec.structs.replace(a_comparison("identity"), fall=Estimate(0.4, 0.4, 0.4, 1))
    assert "fell by 0.40 (one video: no interval)" in finding(alone)


def identities(evaluation: Evaluation, clean: float, protected: float) -> Evidence:
    """The evidence with other likenesses on the victim that the headline speaks of."""
    victim = evaluation.evidence.victims[-1]
    means = {"clean": clean, "protected": protected}
    told = tuple(
        msgspec.structs.replace(each, verdicts={**each.verdicts, "identity": about(means.get(each.name, clean))})
        for each in victim.conditions
    )
    return changed(evaluation, victims=(msgspec.structs.replace(victim, conditions=told),)).evidence


@pytest.mark.parametrize(
    ("clean", "protected", "said"),
    [
        (0.9, 0.3, "no longer pass for the same person"),
        (0.9, 0.7, "But the videos still show the same person"),
        (0.5, 0.1, "does not keep the person well even without protection"),
    ],
)
def test_the_answer_says_whether_the_person_is_still_recognised(
    evaluation: Evaluation, clean: float, protected: float, said: str
) -> None:
    assert said in plain_answer(identities(evaluation, clean, protected))


@pytest.mark.parametrize(("fall", "little"), [(0.05, True), (0.3, False)])
def test_the_answer_says_that_a_sure_effect_is_a_small_one(evaluation: Evaluation, fall: float, little: bool) -> None:
    told = msgspec.structs.replace(a_comparison("identity"), fall=about(fall))
    evidence = changed(evaluation, headline=msgspec.structs.replace(HEADLINE, comparisons=(told,))).evidence
    assert ("to an eye the videos look much alike" in plain_answer(evidence)) == little


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
        msgspec.structs.replace(row, left=Estimate(-0.3, -0.6, 0.1, 2)),
        msgspec.structs.replace(row, left=Estimate(5.0, 4.0, 9.0, 2)),
    )
    reader = Reader(page(changed(evaluation, survival=odd)))
    assert [each["style"] for each in bars(reader)][::2] == ["width: 0.0%", "width: 100.0%"]
    assert "protection -30% (-60% to 10%)" in reader.text
    assert "protection 500% (400% to 900%)" in reader.text


def test_the_command_measures_the_same_again(said: str) -> None:
    text = Reader(said).text
    for part in (
        "--victim dit-taef1 --victim dit-taef1-second",
        "--seeds 2 --steps 16",
        '--change "half size"',
        "-o report/",
    ):
        assert part in text


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


# The same for a terminal.


def test_the_text_refuses_without_a_headline_and_fits_a_terminal(evaluation: Evaluation) -> None:
    for each in (evaluation, refused(evaluation)):
        text = as_text(each.evidence)
        assert max(map(len, text.splitlines())) <= COLUMNS
        assert text.isascii()
    assert HEADLINE.sentence in " ".join(as_text(evaluation.evidence).split())
    told = as_text(refused(evaluation).evidence)
    assert HEADLINE.sentence not in " ".join(told.split())
    assert "No headline: the numbers below must not be summed up" in told
    assert f"dit-taesd3: {REFUSED.reason}" in told


def test_the_text_has_each_victim_beside_its_control(evaluation: Evaluation) -> None:
    lines = as_text(evaluation.evidence).splitlines()
    (line,) = [line for line in lines if line.startswith("  dit-taesd3")]
    assert line.split() == ["dit-taesd3", "untouched", "0.83", "->", "0.42", "(0.78)", "24.1", "->", "17.8", "(23.0)*"]
    assert any(line.split()[-2:] == ["12%", "(5%)"] for line in lines)


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
def test_a_browser_without_scripts_shows_every_picture_and_asks_nobody(browser: Any, said: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(said, encoding="utf-8")
    context = browser.new_context(java_script_enabled=True, viewport={"width": 1280, "height": 800})
    asked: list[str] = []
    faults: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    opened = context.new_page()
    opened.on("console", lambda line: faults.append(line.text))
    opened.goto((tmp_path / "index.html").as_uri())
    assert opened.evaluate("[...document.images].every((each) => each.complete && each.naturalWidth > 0)")
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert faults == []
    context.close()
