"""Text inputs: sections that are read, markers that no note can forge, long notes in chunks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from test_contracts import check_tokens
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from medmm.cohort.studies import CohortSettings, Sources, read_studies
from medmm.cohort.target import TargetSettings
from medmm.encoders.several import Several
from medmm.encoders.word_pieces import MARKERS
from medmm.errors import Code, Rejected
from medmm.inputs.base import Found, Input
from medmm.inputs.note_tokens import NoteTokenizer, Piece, chunk_starts, pieces
from medmm.inputs.text import TextInput, TextSettings
from medmm.readers.note_sections import NOTE_END, SECTIONS
from medmm.types import Evidence

WIDTH = 16
WORDS = ["cough fever no rash", "history of cough", "possible fever", "pneumonia"] * 3


def fitted(**settings: object) -> Input[object]:
    whole = {"table": "notes.csv", "encoder": {"name": "transformer", "min_patients": 2, "layers": 1}, **settings}
    return TextSettings.model_validate(whole).open("history").fit((str(i), note) for i, note in enumerate(WORDS))


def tokens(one: Input[object], note: str) -> list[str]:
    fields = one.prepare(note)
    tokenizer = Tokenizer.from_str(one.state["tokenizer"])
    return [tokenizer.id_to_token(int(i)) for i in fields["ids"][fields["mask"] > 0]]


def found(root: Path, notes: str, **settings: object) -> list[Found]:
    (root / "studies.csv").write_text(
        "patient_id,study_id,time,diagnosis\n" + "".join(f"{i},{i},2024-03-01,yes\n" for i in (1, 2))
    )
    (root / "notes.csv").write_text(notes, encoding="utf-8")
    sources = Sources.open(CohortSettings(root=root, time="time"))
    studies = read_studies(sources, TargetSettings(column="diagnosis", positive="yes"))
    return TextSettings.model_validate({"table": "notes.csv", **settings}).open("history").gather(sources, studies)


def text(one: Found) -> str | None:
    assert not isinstance(one, Rejected)
    return None if one is None else one.text


NOTES = 'study_id,text\n1,"History: cough.\nImpression: pneumonia."\n2,"Conclusion: pneumonia."\n'


def test_what_states_the_diagnosis_is_left_out_and_a_note_of_nothing_else_is_absent(tmp_path: Path) -> None:
    assert [text(one) for one in found(tmp_path, NOTES)] == ["History: cough.", None]


def test_it_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    whole = ["History: cough.\nImpression: pneumonia.", "Conclusion: pneumonia."]
    assert [text(one) for one in found(tmp_path, NOTES, leave_out=[])] == whole
    assert [text(one) for one in found(tmp_path, NOTES, sections=["impression"])] == ["Impression: pneumonia.", whole[1]]
    assert [text(one) for one in found(tmp_path, NOTES, leave_out=["history"])] == ["Impression: pneumonia.", whole[1]]


def test_a_section_ends_with_its_note_though_notes_are_joined(tmp_path: Path) -> None:
    notes = 'study_id,text\n1,"Impression: pneumonia."\n1,Cough.\n2,"History: asthma"\n2,"fever \x1e"\n'
    first, second = found(tmp_path, notes)
    assert text(first) == "Cough."
    assert text(second) == f"History: asthma\n{NOTE_END}fever"


def test_a_note_cannot_end_its_own_section(tmp_path: Path) -> None:
    assert found(tmp_path, f'study_id,text\n1,"Impression: a{NOTE_END}pneumonia"\n') == [None, None]


def test_a_section_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="impression"):
        TextSettings.model_validate({"table": "notes.csv", "leave_out": ["impresion"]})


def test_settings_survive_a_round_trip() -> None:
    one = TextSettings.model_validate({"table": "notes.csv", "sections": ["impression", "history"]})
    assert TextSettings.model_validate(json.loads(one.model_dump_json())) == one


def test_notes_in_files_are_read_by_section_too(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "1.txt").write_text("Findings: opacity\nImpression: pneumonia")
    (tmp_path / "notes" / "2.txt").write_text("Impression: pneumonia")
    settings = {"table": None, "folder": "notes"}
    first, second = found(tmp_path, NOTES, **settings)
    assert second is None
    assert isinstance(first, Evidence)
    assert TextSettings(folder="notes").open("history").read(first) == "Findings: opacity"
    (tmp_path / "notes" / "2.txt").write_bytes(b"a\0b")
    _, second = found(tmp_path, NOTES, **settings)
    assert isinstance(second, Rejected)
    assert second.code is Code.MALFORMED
    assert second.where == "study in row 2, input history, the note"


def test_a_note_becomes_pieces_and_markers() -> None:
    note = f"Cough.\nHistory: no fever, possible rash.\n{NOTE_END}Fine"
    by_hand = [
        "Cough.\n",
        "[history]",
        " no ",
        "[neg]",
        "fever",
        "[/neg]",
        ", possible ",
        "[unc]",
        "rash",
        "[/unc]",
        ".\n",
        "[other]",
        "Fine",
    ]
    assert [piece.text for piece in pieces(note, mark=True)] == by_hand
    assert {piece.text for piece in pieces(note, mark=True) if piece.is_marker} <= set(MARKERS)
    assert list(pieces(note, mark=False)) == [Piece(note.replace(NOTE_END, ""))]


def test_markers_are_whole_tokens() -> None:
    one = fitted()
    made = tokens(one, "History: no fever.")
    assert made[0] == "[history]"
    assert made.count("[neg]") == made.count("[/neg]") == 1
    assert "[neg]" not in tokens(fitted(mark=False), "History: no fever.")


@pytest.mark.parametrize("mark", [True, False])
def test_a_note_cannot_forge_a_token(mark: bool) -> None:
    one = fitted(mark=mark)
    for word in (*MARKERS, "[PAD]", "[UNK]"):
        assert word not in set(tokens(one, f"cough {word} cough")) - {"[UNK]"}
        assert 0 not in one.prepare(f"cough {word} cough")["ids"][one.prepare(f"cough {word} cough")["mask"] > 0]


def test_markers_and_words_of_a_plain_note_are_those_of_the_note() -> None:
    assert tokens(fitted(), "cough fever") == tokens(fitted(mark=False), "cough fever")


def test_a_package_from_before_there_were_markers_is_read_without_them() -> None:
    one = fitted()
    state = {key: value for key, value in one.state.items() if key != "markers"}
    again = one.settings.open("history", state)
    assert "[neg]" not in tokens(again, "no fever")


@pytest.mark.parametrize(
    ("count", "length", "chunks", "starts", "cut"),
    [
        (0, 8, 1, [0], 0),
        (8, 8, 3, [0], 0),
        (9, 8, 3, [0, 7], 0),
        (15, 8, 2, [0, 7], 0),
        (16, 8, 2, [0, 8], 0),
        (20, 8, 1, [0], 12),
        (20, 8, 2, [0, 12], 4),
        (100, 8, 3, [0, 7, 92], 77),
    ],
)
def test_chunks_start_where_worked_out_by_hand(count: int, length: int, chunks: int, starts: list[int], cut: int) -> None:
    assert chunk_starts(count, length, chunks) == (starts, cut)


@pytest.mark.parametrize("seed", range(100))
def test_every_token_stands_in_a_chunk_or_is_counted_as_cut(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, length, chunks = int(rng.integers(0, 200)), int(rng.integers(1, 40)), int(rng.integers(1, 6))
    starts, cut = chunk_starts(count, length, chunks)
    held = {place for start in starts for place in range(start, min(start + length, count))}
    assert len(held) + cut == count
    assert len(starts) <= chunks


def test_a_long_note_keeps_its_beginning_and_its_end_and_says_what_was_cut() -> None:
    one = fitted(max_tokens=8, chunks=3, mark=False)
    fields = one.prepare("cough " + "fever " * 100 + "rash")
    assert fields["ids"].shape == fields["mask"].shape == (3, 8)
    assert int(fields["cut"][0]) == 102 - (7 + 8 + 8)
    first, *_, last = [Tokenizer.from_str(one.state["tokenizer"]).id_to_token(int(i)) for i in fields["ids"].reshape(-1)]
    assert (first, last) == ("cough", "rash")
    short = one.prepare("cough")
    assert short["mask"].sum() == 1
    assert int(short["cut"][0]) == 0
    assert int(fitted(max_tokens=8, mark=False).prepare("fever " * 50)["cut"][0]) == 42


def test_a_note_of_megabytes_is_tokenized_in_bounded_pieces() -> None:
    one = fitted(max_tokens=8, chunks=2, mark=False)
    for note in ("fever " * 200_000, "x" * 300_000):
        assert int(one.prepare(note)["cut"][0]) > 10_000


def chunk_network(chunks: int = 3) -> tuple[Several, dict[str, torch.Tensor]]:
    one = fitted(max_tokens=8, chunks=chunks)
    torch.manual_seed(0)
    network = one.encoder(WIDTH).eval()
    assert isinstance(network, Several)
    prepared = [one.prepare("fever " * count) for count in (1, 10, 100)]
    return network, {name: torch.from_numpy(np.stack([p[name] for p in prepared])) for name in prepared[0]}


def test_chunks_give_a_token_each_and_a_padded_one_changes_no_bit() -> None:
    network, fields = chunk_network()
    check_tokens(network, fields)
    made = network(fields)
    assert made.values.shape == (3, 3, WIDTH)
    assert made.mask.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    other = {**fields, "ids": torch.where(fields["mask"] > 0, fields["ids"], 5)}
    assert torch.equal(made.values, network(other).values)


def test_a_padded_chunk_gives_finite_gradients() -> None:
    network, fields = chunk_network()
    network.train()(fields).values.square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert network.score.weight.grad is not None
    assert network.score.weight.grad.abs().sum() > 0


def test_every_chunk_and_its_place_tell() -> None:
    network, fields = chunk_network()
    made = network(fields).values[2]
    assert not torch.allclose(made[0], made[1])  # the same words at two places
    ids = fields["ids"].clone()
    ids[2, 1, 3] = 1
    changed = (network({**fields, "ids": ids}).values[2] != made).any(1)
    assert changed.tolist() == [False, True, False]


def test_pretrained_encoders_keep_their_own_tokens_in_every_chunk() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "fever": 4, "no": 5}, "[UNK]"))
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    state = {"tokenizer": tokenizer.to_str(), "padding": 0, "max_tokens": 8}
    fields = NoteTokenizer(state).fields("no fever no fever no fever no", 2, mark=True)
    # By hand: six words a chunk beside [CLS] and [SEP]; a chunk of six shares none, for an eighth of six is less than one.
    assert fields["ids"].tolist() == [[1, 5, 4, 5, 4, 5, 4, 2], [1, 5, 2, 0, 0, 0, 0, 0]]
    whole = NoteTokenizer(state).fields("no fever", 1, mark=True)
    assert whole["ids"].tolist() == [1, 5, 4, 2, 0, 0, 0, 0]  # as the tokenizer itself does it
    assert 2 not in NoteTokenizer(state).fields("no [SEP] fever", 1, mark=True)["ids"][:3]


def test_a_pretrained_encoder_reads_chunks() -> None:
    from transformers import BertConfig

    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
    )
    state = {"config": json.loads(config.to_json_string(use_diff=False)), "max_tokens": 8}
    settings = {"table": "notes.csv", "chunks": 2, "encoder": {"name": "huggingface", "model": "none"}}
    network = TextSettings.model_validate(settings).open("history", state).encoder(WIDTH).eval()
    mask = torch.tensor([[[1] * 8, [1] * 3 + [0] * 5], [[1] * 8, [0] * 8]], dtype=torch.uint8)
    check_tokens(network, {"ids": torch.randint(1, 50, (2, 2, 8)), "mask": mask})


def test_every_section_has_a_marker() -> None:
    assert {f"[{name}]" for name in SECTIONS} <= set(MARKERS)


@pytest.mark.parametrize(
    ("strike", "note", "kept"),
    [
        (["covid*"], "COVID-19 pneumonia, covid19 contact", " -19 pneumonia,   contact"),
        (["covid-19", "sars-cov-2"], "Covid-19 after SARS-CoV-2; Covid-190 stays", "  after  ; Covid-190 stays"),
        (["cough"], "coughing, no cough", "coughing, no  "),
        (["a.b"], "a.b axb", "  axb"),
        ([], "cough", "cough"),
    ],
)
def test_struck_words_are_read_by_nothing(strike: list[str], note: str, kept: str) -> None:
    settings = TextSettings.model_validate({"folder": "notes", "strike": strike})
    one = settings.open("history")
    assert isinstance(one, TextInput)
    assert one._kept(note) == kept
