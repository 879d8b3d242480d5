"""Pictures for the eye: the right side at the right place, true proportions, and a page that holds no identifier."""

import re
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid
from rich.console import Console
from test_inspect import SECRET, UIDS, config, export  # noqa: F401 - a fixture is found by its name
from test_readers_dicom import save

from medmm.errors import Code, Rejected
from medmm.preview.pictures import Preview, letters, preview
from medmm.preview.sheet import NO_BREAK, Tile, contact_sheet
from medmm.types import Volume
from medmm.workflows.inspect import inspect_config, inspect_folder
from medmm.workflows.screen import Screen
from medmm.workflows.thumbnails import Subject, write_thumbnails

SCREEN = Screen(Console(quiet=True))
AXIAL = np.diag([-1.0, -1.0, 1.0, 1.0])  # columns to the left, rows to the back, slices to the head
SAGITTAL = np.array([[0, 0, -1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])  # to the back, to the feet, to the left
SIDES = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "H", "F"), "sagittal": ("A", "P", "H", "F")}


def volume(values: np.ndarray, affine: np.ndarray | None, modality: str = "MR", padding: np.ndarray | None = None) -> Volume:
    spacing = None if affine is None else tuple(np.linalg.norm(affine[:3, :3], axis=0))
    return Volume(values, affine, spacing, modality, padding)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("direction", "text"),
    [
        ((1, 0, 0), "R"),
        ((-2, 0, 0), "L"),
        ((0, 1, 0), "A"),
        ((0, -1, 0), "P"),
        ((0, 0, 1), "H"),
        ((0, 0, -0.1), "F"),
        ((-0.9, 0, 0.43), "LH"),
        ((0.3, -0.9, 0.31), "PHR"),
        ((1, 0.05, 0), "R"),  # within 6 degrees of the axis
    ],
)
def test_a_direction_is_named_by_the_sides_it_points_to_the_nearest_first(direction: tuple[float, ...], text: str) -> None:
    assert letters(np.array(direction)) == text


def body() -> np.ndarray:
    """A volume along R, A and S whose parts at the right, at the front and at the head tell themselves apart."""
    values = np.zeros((24, 24, 24), np.int16)
    values[16:] += 100  # right
    values[:, 16:] += 300  # front
    values[:, :, 16:] += 900  # head
    return values


def test_a_volume_is_shown_as_radiologists_look_at_it() -> None:
    shown = preview(volume(body(), np.eye(4)))
    assert {picture.caption: picture.sides for picture in shown.pictures} == SIDES
    levels = {0: 0, 100: 20, 300: 59, 900: 177, 400: 78, 1000: 196, 1200: 235, 1300: 255}  # value x 255 / 1300
    # By hand: corners top left, top right, bottom left, bottom right; the centre of an axis (12) is not in its marked part.
    corners = {"axial": (400, 300, 100, 0), "coronal": (1000, 900, 100, 0), "sagittal": (1200, 900, 300, 0)}
    for picture in shown.pictures:
        found = [picture.pixels[row, column] for row, column in ((5, 5), (5, -5), (-5, 5), (-5, -5))]
        np.testing.assert_allclose(found, [levels[value] for value in corners[picture.caption]], atol=1)


def test_a_volume_looks_the_same_however_its_axes_run() -> None:
    values, expected = body(), preview(volume(body(), np.eye(4))).pictures
    for order, flips in product(permutations(range(3)), product((False, True), repeat=3)):
        turned = values.transpose(order)[tuple(slice(None, None, -1 if flip else None) for flip in flips)]
        affine = np.eye(4)
        affine[:3, :3] = 0
        for axis, (world, flip) in enumerate(zip(order, flips, strict=True)):
            affine[world, axis] = -1 if flip else 1
            affine[world, 3] = 23 if flip else 0
        for picture, other in zip(preview(volume(turned, affine)).pictures, expected, strict=True):
            assert (picture.caption, picture.sides) == (other.caption, other.sides)
            np.testing.assert_array_equal(picture.pixels, other.pixels)


def test_an_oblique_volume_has_two_letters_at_a_side() -> None:
    cosine, sine = np.cos(0.3), np.sin(0.3)
    turned = np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1.0]])
    assert [picture.sides for picture in preview(volume(body(), turned)).pictures] == [
        ("R", "L", "AH", "PF"),
        ("R", "L", "HP", "FA"),
        ("AH", "PF", "HP", "FA"),
    ]


@pytest.mark.parametrize(
    ("affine", "plane", "sides"),
    [
        (AXIAL, "axial", ("R", "L", "A", "P")),
        (AXIAL @ np.diag([-1, 1, 1, 1]), "axial", ("L", "R", "A", "P")),
        (AXIAL @ np.diag([1, -1, 1, 1]), "axial", ("R", "L", "P", "A")),
        (SAGITTAL, "sagittal", ("A", "P", "H", "F")),
        (np.array([[-1, 0, 0, 0], [0, 0, -1, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]]), "coronal", ("R", "L", "H", "F")),
        (None, "", ("", "", "", "")),
    ],
)
def test_one_slice_keeps_its_rows_and_columns_and_names_its_sides(
    affine: np.ndarray | None, plane: str, sides: tuple[str, ...]
) -> None:
    values = np.zeros((24, 24, 1), np.int16)
    values[:12, :12] = 100  # the first columns of the first rows: top left
    shown = preview(volume(values, affine))
    (picture,) = shown.pictures
    assert (shown.plane, picture.sides) == (plane, sides)
    assert picture.pixels[5, 5] == 255
    assert picture.pixels[5, -5] == picture.pixels[-5, 5] == 0


def test_pixels_are_as_long_as_they_are_in_the_patient() -> None:
    shown = preview(volume(np.zeros((10, 10, 10), np.int16), np.diag([1.0, 2.0, 4.0, 1.0])))
    # 10, 20 and 40 mm, the longest of them 240 pixels; as rows and columns.
    assert [picture.pixels.shape for picture in shown.pictures] == [(120, 60), (240, 60), (240, 120)]
    (flat,) = preview(volume(np.zeros((10, 20, 1), np.int16), np.diag([4.0, 1.0, 1.0, 1.0]))).pictures
    assert flat.pixels.shape == (120, 240)
    (bare,) = preview(volume(np.zeros((10, 20, 1), np.uint8), None)).pictures
    assert bare.pixels.shape == (240, 120)


def test_a_ct_is_shown_in_the_windows_of_soft_tissue_and_lung() -> None:
    values = np.full((8, 8, 8), 40, np.int16)
    padding = np.zeros(values.shape, bool)
    padding[4:] = True
    shown = preview(volume(values, np.eye(4), "CT", padding))
    assert [picture.caption for picture in shown.pictures] == [
        "axial, soft tissue",
        "axial, lung",
        "coronal, soft tissue",
        "sagittal, soft tissue",
    ]
    soft, lung = shown.pictures[:2]
    assert soft.pixels[0, -1] == 128  # level 40 is the middle of -160 to 240
    assert lung.pixels[0, -1] == 236  # (40 + 1350) / 1500 x 255
    assert soft.pixels[0, 0] == 0  # padding, at the patient's right


def test_colour_stays_colour() -> None:
    values = np.zeros((8, 4, 1, 3), np.uint8)
    values[..., 1] = 255
    (picture,) = preview(volume(values, None)).pictures
    assert picture.pixels.shape == (120, 240, 3)
    assert picture.pixels[0, 0].tolist() == [0, 255, 0]


def test_an_image_of_one_value_can_be_shown() -> None:
    assert preview(volume(np.full((4, 4, 1), 7.0, np.float32), None)).pictures


def test_a_film_is_shown_by_its_middle_frame() -> None:
    values = np.zeros((8, 4, 5, 3), np.uint8)
    values[:, :, 2] = 200
    shown = preview(volume(values, None))
    (picture,) = shown.pictures
    assert (picture.caption, picture.sides, picture.pixels.shape) == ("frame 3 of 5", ("", "", "", ""), (120, 240, 3))
    assert picture.pixels[0, 0].tolist() == [200, 200, 200]
    assert "5 frames · 8 × 4 pixels" in contact_sheet("x", [Tile("x", "", shown)]).replace(NO_BREAK, " ")


def test_a_window_that_is_given_stands_for_that_of_the_modality() -> None:
    shown = preview(volume(np.full((4, 4, 4), 0.5, np.float32), np.eye(4), "CT"), (0.0, 1.0))
    assert [picture.caption for picture in shown.pictures] == ["axial", "coronal", "sagittal"]
    assert {int(picture.pixels[0, 0]) for picture in shown.pictures} == {128}


def test_a_run_is_shown_as_it_reads_its_images(tmp_path: Path) -> None:
    """A tilted stack that the run puts straight, and values as a screen shows them."""
    (tmp_path / "dicom").mkdir()
    uids = dict.fromkeys("ab", "")
    for study, more in (("a", {}), ("b", {"WindowCenter": 5, "WindowWidth": 2})):
        uids[study] = generate_uid()
        told = {"StudyInstanceUID": uids[study], "SeriesInstanceUID": generate_uid(), "PatientID": study, **more}
        for number in range(4):
            shift = 0.4 * number if study == "a" else 0.0
            save(tmp_path / "dicom" / f"{study}{number}", ImagePositionPatient=[10, 20 + shift, 2 * number], **told)
    table = "".join(f"{study},{study},{uid},a\n" for study, uid in uids.items())
    (tmp_path / "studies.csv").write_text(f"patient_id,study_id,uid,diagnosis\n{table}")
    for reading, rejected in (({}, 1), ({"tilt": "resample"}, 0), ({"values": "presentation"}, 1)):
        write_thumbnails(
            "x", inspect_config(config(tmp_path, reading=reading), SCREEN).subjects, 9, tmp_path / "x.html", SCREEN
        )
        page = checked((tmp_path / "x.html").read_text(), 2, rejected)
        assert ("axial, lung" in page) == ("values" not in reading)


def checked(page: str, tiles: int, rejected: int) -> str:
    """Hold what is true of every page, and give it with plain spaces."""
    assert page.count("<article") == tiles
    assert page.count('<article class="rejected">') == rejected
    assert f"{tiles} images: {tiles - rejected} shown, {rejected} rejected" in page
    assert not re.search(r"<script|https?:|//(?=\w+\.)|<link|@import|url\(", page)
    assert set(re.findall(r'src="([^"]{0,22})', page)) <= {"data:image/jpeg;base64"}
    assert SECRET not in page
    assert not any(uid in page for uid in UIDS)
    return page.replace(NO_BREAK, " ")


def test_the_chosen_series_of_a_run_make_a_page_without_an_identifier(export: Path) -> None:  # noqa: F811
    out = export.parent / "sheet.html"
    write_thumbnails("Run", inspect_config(config(export), SCREEN).subjects, 200, out, SCREEN)
    page = checked(out.read_text(), 4, 2)
    for text in ("study in row 1<", "E_GAP", "E_MIXED_PATIENTS", "3 slices", "4 × 3 pixels", "0.8 × 0.5 × 2 mm", "ct, CT"):
        assert text in page


def test_all_series_of_a_folder_make_a_page_up_to_the_limit(export: Path) -> None:  # noqa: F811
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(export / f"{SECRET}.png")
    out = export.parent / "sheet.html"
    subjects = inspect_folder(export, SCREEN).subjects
    write_thumbnails("Folder", subjects, 200, out, SCREEN)
    page = checked(out.read_text(), 7, 1)
    assert "image 1" in page
    write_thumbnails("Folder", subjects, 2, out, SCREEN)
    page = checked(out.read_text(), 2, 0)
    assert "the first of 7" in page


def test_each_tile_shows_its_own_image(tmp_path: Path) -> None:
    """Worker processes answer out of order; a rejected subject asks none."""
    reason = Rejected(Code.GAP, "slices 1 and 2", "a gap", "none", "export again")
    subjects = []
    for side in range(8, 14):
        file = tmp_path / f"{side}.png"
        Image.fromarray(np.zeros((side, 2 * side), np.uint8)).save(file)
        subjects.append(Subject(f"image {side}", "", (file,), reason if side % 3 == 0 else None))
    subjects.append(Subject("image 0", "", (tmp_path / "gone.png",), None))
    write_thumbnails("x", subjects, 200, tmp_path / "sheet.html", SCREEN)
    tiles = re.findall(r"<article.*?</article>", (tmp_path / "sheet.html").read_text().replace(NO_BREAK, " "), re.DOTALL)
    assert ["E_GAP" in tile for tile in tiles] == [False, True, False, False, True, False, False]
    for side, tile in zip(range(8, 14), tiles, strict=False):
        assert (f"{2 * side} × {side} pixels" in tile) != ("E_GAP" in tile)
    assert "E_EMPTY" in tiles[-1]


def test_an_empty_folder_makes_an_empty_page(tmp_path: Path) -> None:
    write_thumbnails("x", [], 200, tmp_path / "sheet.html", SCREEN)
    assert "0 images" in (tmp_path / "sheet.html").read_text()


def test_no_text_becomes_markup() -> None:
    evil = "<script>alert(1)</script>"
    reason = Rejected(Code.HEADER, evil, evil, evil, evil)
    empty = Preview((), (1, 1, 1), None, "")
    page = contact_sheet(evil, [Tile(evil, evil, reason), Tile(evil, evil, empty)], [evil])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 11
