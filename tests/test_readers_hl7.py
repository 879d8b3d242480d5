"""HL7 version 2: messages written by hand after the standard, in the characters that each of them names."""

from pathlib import Path

import pytest

from medmm.cohort.studies import CohortSettings, Sources
from medmm.errors import Code, Rejected
from medmm.readers.facts import Records
from medmm.readers.hl7 import read_hl7
from medmm.readers.hl7_message import parse_message, parse_time

SECRET = "Zaphod77"
HEAD = r"MSH|^~\&|LAB|H1|EHR|H1|20240301120000+0100||{}|1|P|2.5.1"
PID = f"PID|1||{SECRET}^^^H1^MR~999^^^SOC^SS||Beeblebrox^Z||19610504|F"
OBR = "OBR|1||F123^LAB|CRP^C-reactive protein^L|||20240301083000+0100|||||||||||||||20240301094500+0100|||F"
CRP = "OBX|1|NM|1988-5^CRP^LN||12.50|mg/L^^UCUM|0-5|H|||F"


def oru(*segments: str, head: str = HEAD, pid: str = PID) -> str:
    return "\r".join([head.format("ORU^R01^ORU_R01"), pid, "PV1|1|I" + "|" * 17 + "V55", *segments]) + "\r"


def mdm(*segments: str) -> str:
    return "\r".join([HEAD.format("MDM^T02^MDM_T02"), PID, *segments]) + "\r"


def read(folder: Path, *messages: str | bytes) -> Records:
    """Read messages of one file."""
    folder.mkdir(exist_ok=True)
    content = b"".join(one if isinstance(one, bytes) else one.encode() for one in messages)
    (folder / f"{SECRET}.hl7").write_bytes(content)
    return read_hl7(folder)


def rows(records: Records, table: str, *columns: str) -> list[tuple[str, ...]]:
    found = records.tables[table]
    return list((found[list(columns)] if columns else found).itertuples(index=False, name=None))


def values(records: Records) -> list[str]:
    assert not any(records.faults.values())
    return [value for (value,) in rows(records, "facts", "value")]


def test_a_result_becomes_a_fact_known_when_it_was_reported(tmp_path: Path) -> None:
    records = read(tmp_path, oru(OBR, CRP))
    assert rows(records, "facts") == [
        (SECRET, "V55", "2024-03-01T09:45:00+01:00", "1988-5", "12.50", "mg/L", "LN", "OBX", "LN|1988-5")
    ]
    assert rows(records, "patients") == [(SECRET, "1961-05-04", "F")]
    assert not any(records.faults.values())


def test_a_result_without_a_time_of_report_was_known_when_the_message_was_sent(tmp_path: Path) -> None:
    records = read(tmp_path, oru("OBR|1||F123|CRP|||20240301083000+0100", CRP))
    assert rows(records, "facts", "time") == [("2024-03-01T12:00:00+01:00",)]


@pytest.mark.parametrize(
    ("kind", "content", "value"),
    [
        ("NM", "-0.10", "-0.10"),
        ("SN", "<^5", "<5"),
        ("SN", "^1^:^128", "1:128"),
        ("SN", "=^7", "7"),
        ("CWE", "LA6576-8^Positive^LN", "LA6576-8"),
        ("ST", r"A\S\B \T\ C\F\D\R\E", "A^B & C|D~E"),
        ("ST", r"C:\E\temp", r"C:\temp"),
        ("ST", r"5 \X6D67\/L", "5 mg/L"),
        ("ST", r"grade \Z7\ here", r"grade \Z7\ here"),
        ("ST", "half an escape \\ alone", "half an escape \\ alone"),
        ("DT", "20240301", "20240301"),
    ],
)
def test_values_are_written_as_text_their_escapes_replaced(kind: str, content: str, value: str, tmp_path: Path) -> None:
    assert values(read(tmp_path, oru(OBR, f"OBX|1|{kind}|X^x^L||{content}||||||F"))) == [value]


def test_a_repetition_is_a_value_of_its_own(tmp_path: Path) -> None:
    assert values(read(tmp_path, oru(OBR, "OBX|1|NM|X^x^L||5~6||||||F"))) == ["5", "6"]


def test_the_message_names_its_own_characters(tmp_path: Path) -> None:
    table = str.maketrans({"|": "#", "^": ":", "~": "*", "\\": "!", "&": "%"})
    records = read(tmp_path, oru(OBR, r"OBX|1|ST|X^x^L||a \S\ b \F\ c||||||F").translate(table))
    assert values(records) == ["a : b # c"]


def test_the_message_names_its_own_character_set(tmp_path: Path) -> None:
    latin = oru(OBR, "OBX|1|ST|X^x^L||für||||||F", head=HEAD + "||||||8859/1").encode("latin-1")
    assert values(read(tmp_path / "a", latin)) == ["für"]
    assert values(read(tmp_path / "b", oru(OBR, "OBX|1|ST|X^x^L||für||||||F"))) == ["für"]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_frames_batches_and_line_ends_are_taken_as_they_come(end: str, tmp_path: Path) -> None:
    one = oru(OBR, CRP).replace("\r", end)
    framed = f"\x0b{one}\x1c\r"
    records = read(tmp_path, f"FHS|^~\\&|{end}BHS|^~\\&|{end}", framed, framed.replace("12.50", "13"), f"BTS|2{end}FTS|1{end}")
    assert values(records) == ["12.50", "13"]


def test_a_report_is_one_note_of_its_order(tmp_path: Path) -> None:
    text = [
        r"OBX|1|FT|18782-3^Report^LN||Heart normal.\.br\Lungs clear.||||||F",
        "OBX|2|FT|18782-3^Report^LN||No effusion.||||||F",
    ]
    other = "OBX|3|TX|19005-8^Impression^LN||Normal~chest.||||||F"
    records = read(tmp_path, oru(OBR, *text, other, "ZDS|1.2.840.99.1^PACS^Application^DICOM"))
    time = "2024-03-01T09:45:00+01:00"
    assert rows(records, "notes") == [
        (SECRET, "F123", time, "Heart normal.\nLungs clear.\nNo effusion.", "OBX"),
        (SECRET, "F123", time, "Normal\nchest.", "OBX"),
    ]
    assert rows(records, "studies") == [(SECRET, "F123", "1.2.840.99.1", "2024-03-01T08:30:00+01:00")]


def test_a_document_was_known_when_it_was_written_down(tmp_path: Path) -> None:
    txa = "TXA|1|HP|TX|20240228|||20240229101500|20240229113000||||D9||F77|||AU||AV"
    records = read(tmp_path, mdm(txa, "OBX|1|TX|11506-3^Note^LN||Stable.||||||F"))
    assert rows(records, "notes") == [(SECRET, "F77", "2024-02-29T11:30:00", "Stable.", "OBX")]
    cancelled = read(tmp_path, mdm(txa.replace("||AV", "||CA"), "OBX|1|TX|11506-3^Note^LN||Stable.||||||F"))
    assert rows(cancelled, "notes") == []


def test_what_is_sent_again_as_wrong_takes_the_earlier_result_with_it(tmp_path: Path) -> None:
    other = CRP.replace("1988-5", "6690-2")
    records = read(tmp_path, oru(OBR, CRP, other), oru(OBR, CRP[:-1] + "W"))
    assert rows(records, "facts", "code") == [("6690-2",)]
    assert records.counts == {"observations with the status W": 1}


def test_what_is_no_result_is_left_out_and_counted(tmp_path: Path) -> None:
    messages = [
        oru(OBR, CRP[:-1] + "X"),
        oru(OBR, CRP.replace("12.50", "")),
        oru(OBR, CRP.replace("12.50", '""')),
        oru(OBR, "OBX|1|ED|X^x^L||^application^pdf^Base64^JVBERg==||||||F"),
        oru(OBR, CRP, head=HEAD.replace("|P|", "|T|")),
        oru(OBR, CRP).replace("ORU^R01^ORU_R01", "ADT^A01^ADT_A01"),
    ]
    records = read(tmp_path, *messages)
    assert values(records) == []
    assert sum(records.counts.values()) == len(messages)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("20240301083000.25-0500", "2024-03-01T08:30:00.25-05:00"),
        ("202403010830", "2024-03-01T08:30:59"),
        ("2024030108", "2024-03-01T08:59:59"),
        ("20240229", "2024-02-29T23:59:59"),
        ("202402+0100", "2024-02-29T23:59:59+01:00"),
        ("2023", "2023-12-31T23:59:59"),
        ("", ""),
    ],
)
def test_a_time_is_the_last_moment_that_it_can_mean(written: str, expected: str) -> None:
    assert parse_time(written) == expected


@pytest.mark.parametrize("written", ["20240230", "2024-03-01", "202403010860", "yesterday", "20240301250000"])
def test_a_time_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_time(written)
    assert caught.value.code is Code.TYPE


REFUSED: dict[str, tuple[str | bytes, Code]] = {
    "two patients": (oru(PID.replace(SECRET, "another"), OBR, CRP), Code.MIXED_PATIENTS),
    "no patient": (oru(OBR, CRP, pid="NTE|1"), Code.MALFORMED),
    "a patient without an identifier": (oru(OBR, CRP, pid="PID|1||^^^H1^MR"), Code.MALFORMED),
    "two identifiers of one kind": (oru(OBR, CRP, pid=f"PID|1||{SECRET}^^^A^MR~78^^^B^MR"), Code.AMBIGUOUS),
    "two separators that are one": (oru(OBR, CRP).replace("MSH|^~\\&", "MSH|^^\\&"), Code.MALFORMED),
    "letters that separate": (oru(OBR, CRP).replace("MSH|^~\\&", "MSH|^~a&"), Code.MALFORMED),
    "another character set": (oru(OBR, CRP, head=HEAD + "||||||GB 18030-2000"), Code.UNSUPPORTED),
    "bytes of another character set": (oru(OBR, CRP).encode().replace(b"mg/L", b"\xb5g/L"), Code.MALFORMED),
    "a line that is no segment": (oru(OBR, f"{SECRET}, the second line"), Code.MALFORMED),
    "a line before the message": (f"{SECRET}\r" + oru(OBR, CRP), Code.MALFORMED),
    "a NUL": (oru(OBR, CRP).replace("12.50", "1\x002"), Code.MALFORMED),
    "nothing": ("\r\n", Code.EMPTY),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_message_is_refused_by_its_code_and_names_nobody(name: str, tmp_path: Path) -> None:
    content, code = REFUSED[name]
    with pytest.raises(Rejected) as caught:
        read(tmp_path, content)
    assert caught.value.code is code
    assert caught.value.where.startswith("file 1 of 1")
    assert SECRET not in str(caught.value)


BROKEN = {
    "a time that is none": (CRP + "|||20240230", Code.TYPE),
    "no status of the standard": (CRP[:-1] + SECRET, Code.MALFORMED),
    "no identifier": (CRP.replace("1988-5^CRP^LN", ""), Code.MALFORMED),
    "hexadecimal data that is no text": (r"OBX|1|ST|X^x^L||\XFFFE\||||||F", Code.MALFORMED),
    "another character set within": (r"OBX|1|ST|X^x^L||\C2842\||||||F", Code.UNSUPPORTED),
    "text that is taken back": ("OBX|1|TX|X^x^L||gone||||||D", Code.UNSUPPORTED),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_refuses_its_patient_and_no_other(name: str, tmp_path: Path) -> None:
    segment, code = BROKEN[name]
    records = read(tmp_path, oru(OBR, CRP).replace(SECRET, "another"), oru(OBR, segment))
    assert list(records.faults["facts"]) == [SECRET]
    reason = records.faults["facts"][SECRET]
    assert reason.code is code
    assert reason.where.startswith("file 1 of 1, message 2")
    assert SECRET not in str(reason)


def test_a_folder_of_messages_is_a_folder_of_tables(tmp_path: Path) -> None:
    read(tmp_path / "messages", oru(OBR, CRP))
    table = Sources.open(CohortSettings(root=tmp_path)).table("messages/facts", ["code", "value", "unit"])
    assert list(table["value"]) == ["12.50"]


def test_a_message_too_short_for_its_header_is_refused() -> None:
    with pytest.raises(Rejected):
        parse_message(b"MSH|^~\\&")
