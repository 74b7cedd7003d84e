"""Face identity on photos that scikit-image ships: an astronaut, other people, a cat."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import SurrogateError
from anti_i2v.images.degradations import SURVIVAL_CHECKS
from anti_i2v.metrics import faces
from anti_i2v.metrics.faces import Face, FaceIdentity

HOME = Path(os.environ.get("ANTI_I2V_HOME", "absent"))
with_weights = pytest.mark.skipif(
    not (HOME / "face" / "mobilefacenet.onnx").is_file(),
    reason="needs ANTI_I2V_HOME with face/yunet_n_dynamic.onnx and face/mobilefacenet.onnx",
)

LANDMARKS = ((205.0, 96.9), (247.5, 102.8), (222.3, 126.6), (201.0, 141.1), (239.0, 146.4))
"""The astronaut's, in her 512 x 512 photo. YuNet itself strays by some 5 pixels between sizes."""


@pytest.fixture(scope="module")
def identity() -> FaceIdentity:
    return FaceIdentity(HOME)


@pytest.fixture(scope="module")
def astronaut() -> Rgb8:
    return np.ascontiguousarray(data.astronaut())  # type: ignore[no-untyped-call]  # scikit-image has no annotations


def scaled(pixels: Rgb8, side: int) -> Rgb8:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


def found(identity: FaceIdentity, pixels: Rgb8) -> Face:
    face = identity.find(pixels)
    assert face is not None
    return face


@with_weights
@pytest.mark.parametrize("side", [128, 256, 512, 1000, 4000])
def test_a_face_is_found_at_every_size_and_placed_in_the_photos_own_pixels(
    identity: FaceIdentity, astronaut: Rgb8, side: int
) -> None:
    face = found(identity, scaled(astronaut, side))
    np.testing.assert_allclose(np.array(face.landmarks) * 512 / side, LANDMARKS, atol=6)
    assert face.score > 0.9


@with_weights
def test_a_close_portrait_is_found_too(identity: FaceIdentity, astronaut: Rgb8) -> None:
    close = np.asarray(Image.fromarray(astronaut[60:170, 175:270]).resize((1900, 2200)))
    face = found(identity, close)
    np.testing.assert_allclose(np.array(face.landmarks) / 20 + (175, 60), LANDMARKS, atol=8)


@with_weights
def test_the_larger_of_two_faces_is_found(identity: FaceIdentity, astronaut: Rgb8) -> None:
    pair = np.full((512, 800, 3), 128, np.uint8)
    pair[:256, :256] = scaled(astronaut, 256)
    pair[:, 288:] = astronaut
    left, _, width, _ = found(identity, pair).box
    assert left > 288
    assert width > 70


@with_weights
@pytest.mark.parametrize("photo", ["chelsea", "coffee", "rocket"])
def test_photos_without_people_have_no_face(identity: FaceIdentity, photo: str) -> None:
    assert identity.find(getattr(data, photo)()) is None


@with_weights
def test_an_embedding_has_unit_length_and_is_the_same_twice(identity: FaceIdentity, astronaut: Rgb8) -> None:
    face = found(identity, astronaut)
    embedding = identity.embed(astronaut, face)
    assert embedding.shape == (128,)
    assert embedding.dtype == np.float32
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(embedding, identity.embed(astronaut, face))


@with_weights
def test_the_same_photo_is_the_same_person(identity: FaceIdentity, astronaut: Rgb8) -> None:
    assert identity.identity(astronaut, astronaut.copy(), found(identity, astronaut)) == pytest.approx(1, abs=1e-6)


@with_weights
@pytest.mark.parametrize("check", SURVIVAL_CHECKS)
def test_a_degraded_photo_keeps_the_person(identity: FaceIdentity, astronaut: Rgb8, check: str) -> None:
    assert identity.identity(astronaut, SURVIVAL_CHECKS[check](astronaut), found(identity, astronaut)) > 0.9


@with_weights
@pytest.mark.parametrize("side", [256, 2048])
def test_the_size_of_a_photo_does_not_change_the_person(identity: FaceIdentity, astronaut: Rgb8, side: int) -> None:
    other = scaled(astronaut, side)
    first, second = (identity.embed(photo, found(identity, photo)) for photo in (astronaut, other))
    assert first @ second > 0.85


@with_weights
def test_alignment_undoes_a_tilted_head(identity: FaceIdentity, astronaut: Rgb8) -> None:
    tilted = np.asarray(Image.fromarray(astronaut).rotate(20, Image.Resampling.BICUBIC))
    first, second = (identity.embed(photo, found(identity, photo)) for photo in (astronaut, tilted))
    assert first @ second > 0.85


@with_weights
def test_other_people_have_other_embeddings(identity: FaceIdentity, astronaut: Rgb8) -> None:
    """Ten people of Labeled Faces in the Wild, as scikit-image ships them: 25 x 25 and grey."""
    person = identity.embed(astronaut, found(identity, astronaut))
    people = data.lfw_subset()[:10]  # type: ignore[no-untyped-call]  # scikit-image has no annotations
    crowd = [np.repeat((grey * 255).astype(np.uint8)[..., None], 3, -1) for grey in people]
    others = [(photo, identity.find(photo)) for photo in crowd]
    cosines = [float(person @ identity.embed(photo, face)) for photo, face in others if face is not None]
    assert len(cosines) >= 5
    assert max(cosines) < 0.35


@with_weights
def test_a_painted_over_face_scores_low(identity: FaceIdentity, astronaut: Rgb8) -> None:
    face = found(identity, astronaut)
    left, top, width, height = (round(value) for value in face.box)
    painted = astronaut.copy()
    painted[top : top + height, left : left + width] = astronaut[top : top + height, left : left + width].mean((0, 1))
    assert identity.find(painted) is None
    assert identity.identity(astronaut, painted, face) < 0.2


@with_weights
def test_stronger_blur_keeps_less_of_the_person(identity: FaceIdentity, astronaut: Rgb8) -> None:
    face = found(identity, astronaut)
    cosines, photo = [], astronaut
    for _ in range(4):
        for _ in range(4):
            photo = SURVIVAL_CHECKS["blur"](photo)
        cosines.append(identity.identity(astronaut, photo, face))
    assert cosines == sorted(cosines, reverse=True)
    assert cosines[-1] < 0.6


@with_weights
def test_photos_of_different_sizes_are_refused(identity: FaceIdentity, astronaut: Rgb8) -> None:
    with pytest.raises(ValueError, match="photos of one size"):
        identity.identity(astronaut, astronaut[1:], found(identity, astronaut))


@with_weights
def test_threads_that_share_one_identity_get_the_same_numbers(identity: FaceIdentity, astronaut: Rgb8) -> None:
    photos = [scaled(astronaut, side) for side in (200, 256, 320)] * 2

    def embedding(photo: Rgb8) -> NDArray[np.float32]:
        return identity.embed(photo, found(identity, photo))

    expected = [embedding(photo) for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(list(pool.map(embedding, photos)), expected)


ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""The landmarks of ArcFace's 112 x 112 crop (Deng et al. 2019)."""


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0), (2.5, 0), (2.5, 30), (0.7, -20)])
def test_an_aligned_face_has_its_landmarks_where_arcface_has_them(scale: float, degrees: float) -> None:
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (np.array(ARCFACE) - 56) @ turn.T + 250
    rows, columns = np.mgrid[:500, :500]
    discs = [np.hypot(columns - x, rows - y) < 4 * scale for x, y in points]
    photo = np.repeat((np.any(discs, axis=0) * 255).astype(np.uint8)[..., None], 3, -1)
    landmarks = tuple((float(x), float(y)) for x, y in points)
    crop = faces.align(photo, Face((0, 0, 0, 0), landmarks, 1.0))  # type: ignore[arg-type]  # five points
    for x, y in ARCFACE:
        column, row = round(x), round(y)
        around = crop[row - 6 : row + 7, column - 6 : column + 7, 0].astype(float)
        offsets = np.arange(-6, 7)
        assert (around.sum(0) @ offsets) / around.sum() == pytest.approx(x - column, abs=0.3)
        assert (around.sum(1) @ offsets) / around.sum() == pytest.approx(y - row, abs=0.3)


@pytest.mark.parametrize("side", [256, 512, 3000])
def test_the_crop_shows_the_same_face_at_every_size(astronaut: Rgb8, side: int) -> None:
    points = [(x * side / 512, y * side / 512) for x, y in LANDMARKS]
    eyes = Face((0, 0, 0, 0), (points[0], points[1], points[2], points[3], points[4]), 1.0)
    reference = faces.align(astronaut, Face((0, 0, 0, 0), LANDMARKS, 1.0))
    crop = faces.align(scaled(astronaut, side), eyes)
    assert crop.shape == (112, 112, 3)
    assert np.abs(crop.astype(int) - reference).mean() < 5


def test_missing_weights_are_named_with_their_path(tmp_path: Path) -> None:
    with pytest.raises(SurrogateError, match=r"no face weights at .*yunet_n_dynamic\.onnx: point ANTI_I2V_HOME"):
        FaceIdentity(tmp_path)


def test_a_file_that_is_not_a_network_raises_a_surrogate_error(tmp_path: Path) -> None:
    (tmp_path / "face").mkdir()
    for name in ("yunet_n_dynamic", "mobilefacenet"):
        (tmp_path / "face" / f"{name}.onnx").write_bytes(b"no network at all")
    with pytest.raises(SurrogateError, match="cannot read the face weights"):
        FaceIdentity(tmp_path)


def test_a_missing_opencv_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SurrogateError, match=r'pip install "anti-i2v-sdk\[evaluate\]"'):
        FaceIdentity(tmp_path)
