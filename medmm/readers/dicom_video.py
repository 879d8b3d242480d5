"""The frames of a DICOM video, which PyAV decodes where it is installed.

A video decoder hides damage: it fills up what is missing from the frames before. So it is told to stop at an error, and a
video is believed only where it holds as many frames as the header says.

Source: DICOM PS3.5, section 8.2 and annex A.4 (MPEG2, MPEG-4 AVC, HEVC); ISO/IEC 13818-1 and 14496-12 (containers).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np

from medmm.errors import Code, Rejected
from medmm.readers.dicom_format import VIDEO, PixelFormat
from medmm.types import Array

CONTAINERS = ((0, b"\x47", "mpegts"), (0, b"\0\0\x01\xba", "mpeg"), (4, b"ftyp", "mp4"))
"""Where in the stream which bytes stand, and what FFmpeg calls the container that starts so."""


class Video:
    """The frames of one video, decoded one after the other.

    Args:
        content: The stream, its fragments joined.
        stored: The header.
        where: Which file it is.

    Raises:
        Rejected: NO_DECODER where PyAV is not installed.
    """

    def __init__(self, content: bytes, stored: PixelFormat, where: str) -> None:
        if find_spec("av") is None:
            raise Rejected(Code.NO_DECODER, where, "a video", "a decoder for it", "install av (pip install medmm[video])")
        self._content = content
        self._stored = stored
        self._where = where
        self._frames: Iterator[Array] = iter(())
        self._next = stored.frames

    def frame(self, index: int) -> Array:
        """Give one frame, (row, column, 3) RGB of 8 bits; in ascending order each is decoded once.

        Raises:
            Rejected: MALFORMED where the video is damaged, or of another size or number of frames than the header states.
        """
        if index < self._next:
            self._frames, self._next = self._decoded(), 0
        for _ in range(self._next, index):
            self._one()
        found = self._one()
        self._next = index + 1
        if self._next == self._stored.frames and next(self._frames, None) is not None:
            raise self._malformed("more frames in the video", f"{self._stored.frames} as in the header")
        return found

    def _one(self) -> Array:
        found = next(self._frames, None)
        if found is None:
            raise self._malformed("fewer frames in the video", f"{self._stored.frames} as in the header")
        return found

    def _decoded(self) -> Iterator[Array]:
        import av

        try:
            # The format is told, for one that is guessed may be a playlist, which opens other files.
            with av.open(io.BytesIO(self._content), "r", format=self._container(), options={"protocol_whitelist": ""}) as video:
                stream = video.streams.video[0]
                stream.codec_context.options = {"err_detect": "explode"}
                for picture in video.decode(stream):
                    if picture.is_corrupt:
                        raise self._malformed("a damaged frame in the video", "whole frames")
                    yield self._checked(picture.to_ndarray(format="rgb24"))
        except (Rejected, MemoryError):
            raise
        except Exception:  # noqa: BLE001 - what foreign bytes make of a decoder is no matter of its documented errors
            raise self._malformed("a video that cannot be decoded", "a whole video") from None

    def _container(self) -> str:
        for place, start, name in CONTAINERS:
            if self._content.startswith(start, place):
                return name
        return VIDEO[self._stored.syntax]

    def _checked(self, picture: Array) -> Array:
        expected = (self._stored.rows, self._stored.columns, 3)
        if picture.shape != expected or picture.dtype != np.uint8:
            size = f"{expected[0]} x {expected[1]} as in the header"
            raise self._malformed(f"a video of {picture.shape[0]} x {picture.shape[1]}", size)
        return picture

    def _malformed(self, found: str, expected: str) -> Rejected:
        return Rejected(Code.MALFORMED, self._where, found, expected, "copy or export the file again")
