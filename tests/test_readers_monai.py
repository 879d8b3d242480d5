import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from test_readers_dicom import FILM, SCREEN, save, save_stack

from medmm.errors import Rejected
from medmm.readers import read_image
from medmm.readers.reading import Reading
from medmm.readers.resample import prepare_image

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what importing MONAI's optional packages warns of is not ours
    from monai.transforms import Compose, RandFlip

    from medmm.readers.monai_reader import PrepareImage, SeriesReader, load_image


def ct(folder: Path) -> list[Path]:
    return save_stack(folder, [30, 32, 34, 36], PixelPaddingValue=3)


def film(folder: Path) -> list[Path]:
    return [save(folder, PixelSpacing=None, ImagerPixelSpacing=[0.1, 0.2], **FILM)]


def screen(folder: Path) -> list[Path]:
    return [save(folder, np.arange(36, dtype=np.uint8), PlanarConfiguration=0, **SCREEN)]


def nifti(folder: Path) -> list[Path]:
    affine = np.array([[0, 0, -2.0, 30], [-1.0, 0.15, 0, 40], [0.1, 1.5, 0, -20], [0, 0, 0, 1]])
    values = np.random.default_rng(0).normal(size=(7, 8, 9)).astype(np.float32)
    values[0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, affine), folder.with_suffix(".nii.gz"))
    return [folder.with_suffix(".nii.gz")]


def png(folder: Path) -> list[Path]:
    pixels = np.random.default_rng(0).integers(0, 65535, (12, 10)).astype(np.uint16)
    Image.fromarray(pixels).save(folder.with_suffix(".png"))
    return [folder.with_suffix(".png")]


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (ct, {"size": (5, 4, 3), "window": (0, 200), "spacing_mm": None}),
        (ct, {"size": (5, 4, 3), "window": None, "spacing_mm": (1.0, 1.0, 3.0)}),
        (film, {"size": (5, 6), "window": None, "spacing_mm": None}),
        (film, {"size": (5, 6), "window": (900, 1023), "spacing_mm": (0.15, 0.15), "channels": 3}),
        (screen, {"size": (5, 6), "window": None, "spacing_mm": None, "channels": 3}),
        (screen, {"size": (2, 6), "window": None, "spacing_mm": None}),
        (nifti, {"size": (5, 4, 3), "window": None, "spacing_mm": None}),
        (png, {"size": (5, 4), "window": None, "spacing_mm": None}),
    ],
)
def test_both_ways_give_the_same_bits(tmp_path: Path, make: Any, options: dict[str, Any]) -> None:
    files = make(tmp_path / "image")
    path = tmp_path / "image" if len(files) > 1 else files[0]
    expected = prepare_image(read_image(files), **options)
    found = Compose([load_image(), PrepareImage(**options)])(path)
    assert found.dtype == torch.float16
    assert found.numpy().tobytes() == expected.tobytes()
    assert tuple(found.shape) == expected.shape


def test_the_loaded_tensor_has_channels_first_values_and_affine(tmp_path: Path) -> None:
    files = ct(tmp_path / "ct")
    volume = read_image(files)
    loaded = load_image()(tmp_path / "ct")
    assert loaded.shape == (1, 4, 3, 4)
    np.testing.assert_array_equal(loaded[0].numpy(), volume.values)
    np.testing.assert_allclose(loaded.affine, volume.affine)
    assert loaded.meta["space"] == "RAS"
    assert load_image()(screen(tmp_path / "screen")[0]).shape == (3, 4, 3, 1)


def test_the_prepared_tensor_knows_its_place(tmp_path: Path) -> None:
    ct(tmp_path / "ct")
    found = Compose([load_image(), PrepareImage((2, 3, 4), None, None), RandFlip(prob=1, spatial_axis=0)])(tmp_path / "ct")
    # Columns of 0.8 mm run left: four of them in two pixels of 1.6 mm, flipped back by the random flip.
    np.testing.assert_allclose(np.abs(found.affine.numpy()[:3, :3]).sum(0), (1.6, 0.5, 2.0), atol=1e-6)
    assert found.affine[0, 0] < 0


def test_the_loader_never_falls_back_to_another_reader(tmp_path: Path) -> None:
    save_stack(tmp_path / "ct", [30, 32, 36])
    with pytest.raises(Rejected, match="E_GAP"):
        load_image()(tmp_path / "ct")
    with pytest.raises(RuntimeError) as caught:
        Compose([load_image()])(tmp_path / "ct")
    assert isinstance(caught.value.__cause__, Rejected)
    assert str(tmp_path) not in str(caught.value)


def test_the_reader_accepts_every_name_and_no_option(tmp_path: Path) -> None:
    assert SeriesReader().verify_suffix("anything")
    with pytest.raises(TypeError, match="series_name"):
        SeriesReader().read(tmp_path, series_name="x")


def test_an_image_of_another_loader_is_refused() -> None:
    from monai.data import MetaTensor

    with pytest.raises(Rejected, match="E_MALFORMED"):
        PrepareImage((2, 2), None, None)(MetaTensor(torch.zeros(1, 4, 4, 1)))


def test_a_monai_loader_can_ask_for_values_of_presentation(tmp_path: Path) -> None:
    file = save(tmp_path / "film", WindowCenter=5, WindowWidth=4, VOILUTFunction="LINEAR_EXACT")
    image = load_image(Reading(values="presentation"))(file)
    assert image[0, 1, 1, 0] == 0.5
    assert load_image()(file)[0, 1, 1, 0] == 5
