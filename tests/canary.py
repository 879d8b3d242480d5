"""A hospital full of planted names, and a search for them in every byte that was written, however it is wrapped.

Each canary is a stem that no text holds by chance and two letters of the study, so that no two patients share a word.
"""

import base64
import gzip
import io
import json
import os
import re
import sqlite3
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase
from urllib.parse import quote

import pandas as pd
import pydicom
from pydicom.datadict import DicomDictionary, keyword_for_tag

STEMS = {
    "family name": "Qvortzjx",
    "given name": "Mbräxlwz",
    "birth date": "18970313",
    "birth date, dashed": "1897-03-13",
    "address": "Wrzlgass",
    "phone": "05557319",
    "patient id": "Mrnqxvzw",
    "study id": "Accwvqzx",
    "study uid": "1.2.826.0.1.8857193",
    "tag": "Tqzjxvwk",
    "private tag": "Pjxqvzkw",
    "file": "Fkzqxwvj",
    "folder": "Dkzqxwvj",
    "column": "Ckzqxwvj",
    "note": "Nkzqxwvj",
    "cell": "Bkzqxwvj",
    "error": "Ekzqxwvj",
}
"""Kind of identifier -> what all of its canaries hold."""

TEXT = {"AE": 8, "LO": 64, "LT": 64, "PN": 64, "SH": 16, "ST": 64, "UC": 64, "UT": 64}
"""Value representations of free text, and letters that one may hold (PS3.5, 6.2)."""

KEPT = {"SpecificCharacterSet", "PatientID", "StudyID", "PatientName", "AccessionNumber", "CodeValue"}
TAGS = [
    (tag, vr)
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items()
    if vr in TEXT and not retired and keyword not in KEPT and 0x0008 <= tag >> 16 <= 0x0040
]
"""Every free text that an image may carry, up to the groups of other objects."""

CUT = {3, 11}
"""Images of which the end is missing."""


def code(number: int) -> str:
    """Give two letters that stand for a number."""
    return ascii_lowercase[number // 26 % 26] + ascii_lowercase[number % 26]


def plant(cohort: Path) -> Path:
    """Put canaries into headers, names of files and folders, cells, columns and notes of an export; give its new place."""
    studies = pd.read_csv(cohort / "studies.csv", dtype=str, keep_default_na=False)
    patients = {one: f"{STEMS['patient id']}{code(i)}{i:03d}" for i, one in enumerate(dict.fromkeys(studies["patient_id"]))}
    ids = {one: f"{STEMS['study id']}{code(i)}{i:03d}" for i, one in enumerate(studies["study_id"])}
    uids = {one: f"{STEMS['study uid']}.{i + 1}" for i, one in enumerate(studies["study_uid"])}
    for name in ("studies", "labs", "notes"):
        table = pd.read_csv(cohort / f"{name}.csv", dtype=str, keep_default_na=False)
        table["patient_id"] = table["patient_id"].map(patients)
        for column, known in (("study_id", ids), ("study_uid", uids)):
            if column in table:
                table[column] = table[column].map(known)
        letters = [code(i) for i in range(len(table))]
        table["name"] = [f"{STEMS['family name']}{x}^{STEMS['given name']}{x}" for x in letters]
        table["birth_date"], table["phone"] = (
            STEMS["birth date, dashed"],
            [f"{STEMS['phone']}{i:03d}" for i in range(len(table))],
        )
        table["address"] = [f"{STEMS['address']}{x} 7" for x in letters]
        table["comment"] = [f"{STEMS['column']}{x}" for x in letters]
        if name == "notes":
            table["text"] = [note_of(i, text) for i, text in enumerate(table["text"])]
        if name == "labs":
            crp = table.index[table["code"] == "crp"]
            for place, (column, at) in enumerate((("value", crp[3]), ("unit", crp[9]), ("time", crp[15]))):
                table.loc[at, column] = f"{STEMS['cell']}{code(place)}"
        if name == "studies":
            table["ward"] = ["north" if i % 2 else "south" for i in range(len(table))]
            for i in range(5, len(table), 7):
                table.loc[i, "ward"] = f"{STEMS['cell']}{code(50 + i)}"
        table.to_csv(cohort / f"{name}.csv", index=False)
    for number, path in enumerate(sorted((cohort / "dicom").rglob("IM*"))):
        _plant_file(path, number, patients, ids, uids)
    (cohort / "truth.csv").unlink()
    junk = cohort / "dicom" / f"{STEMS['folder']}junk"
    junk.mkdir()
    (junk / f"{STEMS['file']}empty.dcm").write_bytes(b"")
    (junk / f"{STEMS['file']}none.dcm").write_bytes(b"\0" * 128 + b"DICM" + STEMS["tag"].encode() * 9)
    return cohort.rename(cohort.with_name(f"{STEMS['folder']}cohort {STEMS['family name']}"))


def note_of(number: int, text: str = "") -> str:
    """Give a note that names its patient in many ways."""
    x = code(number)
    person = f"{STEMS['family name']}{x}, {STEMS['given name']}{x}, born {STEMS['birth date, dashed']}"
    return (
        f"History: patient {person}, {STEMS['address']}{x}, phone {STEMS['phone']}{number:03d}. {text}\n"
        f"Findings: seen with {STEMS['note']}{x}, {STEMS['patient id']}{x}."
    )


def _plant_file(path: Path, number: int, patients: dict[str, str], ids: dict[str, str], uids: dict[str, str]) -> None:
    """Rewrite an image with canaries in its header, and give it a name that tells; some are cut off."""
    x = code(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = pydicom.dcmread(path)
        image.PatientID, image.AccessionNumber = patients[image.PatientID], ids[image.AccessionNumber]
        image.StudyInstanceUID = uids[image.StudyInstanceUID]
        image.PatientName = f"{STEMS['family name']}{x}^{STEMS['given name']}{x}"
        image.PatientBirthDate = STEMS["birth date"]
        image.PatientAddress, image.PatientTelephoneNumbers = f"{STEMS['address']}{x} 7", f"{STEMS['phone']}{number:03d}"
        for tag, vr in TAGS if number % 4 == 0 else TAGS[:60]:
            if tag not in image or number % 4 == 0:
                image.add_new(tag, vr, f"{STEMS['tag']}{x}{keyword_for_tag(tag)}"[: TEXT[vr]])
        image.PatientAddress, image.PatientTelephoneNumbers = f"{STEMS['address']}{x} 7", f"{STEMS['phone']}{number:03d}"
        block = image.private_block(0x0011, f"{STEMS['private tag']} 1", create=True)
        block.add_new(1, "LO", f"{STEMS['private tag']}{x}")
        block.add_new(2, "OB", f"{STEMS['private tag']}{x} ".encode())
        image.OtherPatientIDsSequence = [pydicom.Dataset()]
        image.OtherPatientIDsSequence[0].PatientID = f"{STEMS['patient id']}{x}"
        image.save_as(path, enforce_file_format=True)
    if number in CUT:
        os.truncate(path, path.stat().st_size * 3 // 4)
    place = path.parent / f"{STEMS['folder']}{x}"
    place.mkdir()
    path.rename(place / f"{STEMS['file']}{x} {STEMS['family name']}.dcm")


def forms(text: str) -> Iterator[bytes]:
    """Give a text as it may stand in bytes: in lower case; after an equals sign as base64 has it, at each of three offsets."""
    for one in {text, text.lower(), text.upper()}:
        for encoded in {one.encode(), one.encode("latin-1"), one.encode("utf-16-le")}:
            yield encoded.lower()
            yield encoded.hex().encode()
        yield quote(one).encode().lower()
        yield json.dumps(one)[1:-1].encode().lower()
        for offset in range(3):
            within = base64.b64encode(b"\0" * offset + one.encode() + b"\0" * 2)
            first, last = -(-offset * 8 // 6), (offset + len(one.encode())) * 8 // 6
            yield b"=" + within[first:last]
            yield b"=" + within[first:last].replace(b"+", b"-").replace(b"/", b"_")


NEEDLES = {kind: frozenset(one for one in forms(stem) if one[:1] != b"=") for kind, stem in STEMS.items()}
BASE64 = {kind: frozenset(one[1:] for one in forms(stem) if one[:1] == b"=") for kind, stem in STEMS.items()}
"""Kind -> what may stand for it in bytes of any case, and what in its own case alone."""


def found(content: bytes) -> set[str]:
    """Give the kinds of canaries that some bytes hold."""
    lower = content.lower()
    return {
        kind
        for kind, needles in NEEDLES.items()
        if any(one in lower for one in needles) or any(one in content for one in BASE64[kind])
    }


def parts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Give what a file holds: its bytes, and what stands compressed or paged in them, each with the name of its place."""
    content = path.read_bytes()
    yield "", content
    yield from inside(content)
    if content.startswith(b"SQLite format 3"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
            for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                rows = store.execute(f'SELECT * FROM "{table}"')
                names = [one[0] for one in rows.description]
                columns = zip(names, zip(*rows.fetchall(), strict=True), strict=False)
                for column, cells in columns:
                    yield f"{table}.{column}", "\n".join(map(str, cells)).encode("utf-8", "replace")
        store.close()
    if content[:4] == b"PAR1":
        frame = pd.read_parquet(path)
        for column in frame:
            yield str(column), "\n".join(map(str, frame[column])).encode("utf-8", "replace")
    if path.suffix == ".csv" and content.strip():
        frame = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
        for column in frame:
            yield str(column), "\n".join([str(column), *frame[column]]).encode("utf-8", "replace")


def inside(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Give what stands compressed within bytes: zip members, gzip, chunks of PNG, and pictures within pages."""
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name, name.encode() + b"\n" + archive.read(name)
                yield from inside(archive.read(name))
    if content[:3] == b"\x1f\x8b\x08":
        yield "gzip", gzip.decompress(content)
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        at = 8
        while at + 8 <= len(content):
            length, kind = struct.unpack_from(">I4s", content, at)
            body = content[at + 8 : at + 8 + length]
            at += 12 + length
            if kind in {b"zTXt", b"iTXt", b"iCCP"}:
                for start in [place.end() for place in re.finditer(rb"\0", body)]:
                    unpacker = zlib.decompressobj()
                    try:
                        yield kind.decode(), unpacker.decompress(body[start:])
                    except zlib.error:
                        continue
    for picture in re.findall(rb"data:[\w/+.-]+;base64,([A-Za-z0-9+/=]+)", content):
        yield "picture", base64.b64decode(picture)
        yield from inside(base64.b64decode(picture))
