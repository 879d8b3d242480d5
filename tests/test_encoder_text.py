"""Notes read in order, and notes counted: by a second method, and against scikit-learn."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from tokenizers import Tokenizer
from torch import nn

from medmm.encoders.bag_of_words import BagOfWords
from medmm.encoders.recurrent import Recurrent
from medmm.encoders.word_pieces import MARKERS
from medmm.inputs.note_tokens import NoteTokenizer

WIDTH = 16
PATIENTS = [str(i) for i in range(40)]


def notes(count: int = 40, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    words = [f"word{chr(97 + i)}" for i in range(20)]
    share = 1 / np.arange(1, 21)
    return [" ".join(rng.choice(words, rng.integers(5, 30), p=share / share.sum())) for _ in range(count)]


def bag(texts: Sequence[str], patients: Sequence[str], **settings: object) -> tuple[Any, Any]:
    """Give state and network of a bag of words."""
    encoder = BagOfWords.model_validate({"min_patients": 2, **settings})
    state = json.loads(json.dumps(encoder.fit(texts, patients, 64)))
    torch.manual_seed(0)
    return state, encoder.build(WIDTH, state).eval()


def fields(state: Any, texts: Sequence[str], mark: bool = True) -> dict[str, torch.Tensor]:
    made = [NoteTokenizer(state).fields(text, 1, mark=mark) for text in texts]
    return {key: torch.stack([torch.from_numpy(one[key]) for one in made]) for key in ("ids", "mask")}


def weighed(state: Any, network: Any, texts: Sequence[str], mark: bool = False) -> dict[str, np.ndarray[Any, Any]]:
    """Give the weight of each word and pair of words in some notes."""
    given = fields(state, texts, mark)
    values = network.weigh(given["ids"].long(), given["mask"] > 0).numpy()
    words = Tokenizer.from_str(state["tokenizer"])
    names = [words.id_to_token(i) for i in range(state["tokens"])]
    pairs = sorted(state["pairs"])
    names += [f"{names[a]} {names[b]}" for a, b in pairs]
    return {name: values[:, i] for i, name in enumerate(names)}


def test_words_and_pairs_weigh_what_scikit_learn_says() -> None:
    known, new = notes(), notes(10, seed=1)
    state, network = bag(known, PATIENTS)
    other = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit(known)
    for texts in (known, [*new, "worda unheard wordb", "wordb worda"]):
        expected = other.transform(texts).toarray()
        made = weighed(state, network, texts)
        assert set(other.get_feature_names_out()) == set(made) - {"[PAD]", "[UNK]", *MARKERS}
        for name, column in zip(other.get_feature_names_out(), expected.T, strict=True):
            np.testing.assert_allclose(made[name], column, atol=1e-6)
        for name in ("[PAD]", "[UNK]", *MARKERS):
            assert not made[name].any()


def test_the_pull_of_a_word_is_its_root_mean_square_over_the_training_notes() -> None:
    known = notes()
    state, network = bag(known, PATIENTS)
    made = np.stack(list(weighed(state, network, known).values()))
    there = np.square(made).mean(1) > 0
    ratio = network.pull.numpy()[there] / np.sqrt(np.square(made).mean(1))[there]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)
    given = fields(state, known[:3])
    pulled = network.weigh(given["ids"].long(), given["mask"] > 0) * network.pull
    torch.testing.assert_close(network(given).values[:, 0], pulled @ network.project.weight.T)


def test_only_words_and_pairs_of_several_patients_are_known() -> None:
    texts = ["smith has fever jones", "smith has fever jones", "jones has fever", "fever has jones", "has fever"]
    state, _ = bag(texts, ["1", "1", "2", "3", "4"], min_patients=2)
    words = Tokenizer.from_str(state["tokenizer"]).get_vocab()
    assert set(words) - {"[PAD]", "[UNK]", *MARKERS} == {"has", "fever", "jones"}
    names = {i: word for word, i in words.items()}
    # By hand: "has fever" stands in the notes of three patients, "fever jones" twice in those of one, the others once.
    assert [[names[i] for i in pair] for pair in state["pairs"]] == [["has", "fever"]]
    assert "smith" not in json.dumps(state)


def test_only_so_many_words_and_pairs_are_kept_the_most_common_first() -> None:
    state, _ = bag(notes(), PATIENTS, words=100, pairs=3)
    assert len(state["pairs"]) == len(state["pair_rarity"]) == 3
    assert state["pair_rarity"] == sorted(state["pair_rarity"])
    assert bag(notes(), PATIENTS, pairs=0)[0]["pairs"] == []


def test_markers_are_words_and_part_no_pair() -> None:
    texts = ["no fever and cough"] * 3
    state, network = bag(texts, ["1", "2", "3"])
    marked = weighed(state, network, ["no fever and cough"], mark=True)
    plain = weighed(state, network, ["no fever and cough"], mark=False)
    assert marked["[neg]"][0] > 0
    assert plain["[neg]"][0] == 0
    for pair in ("no fever", "fever and", "and cough"):
        assert marked[pair][0] > 0
        assert plain[pair][0] > 0
    # By hand: every word stands in every note, so all weigh alike: four words and three pairs, with two markers or without.
    assert plain["fever"][0] == pytest.approx(7**-0.5, abs=1e-6)
    assert marked["fever"][0] == pytest.approx(9**-0.5, abs=1e-6)


def test_a_note_of_unknown_words_is_one_finite_token() -> None:
    state, network = bag(notes(), PATIENTS)
    made = network(fields(state, ["unheard", "", "worda"]))
    assert made.mask.all()
    assert made.values.isfinite().all()
    assert torch.equal(made.values[0], made.values[1])
    assert not torch.equal(made.values[0], made.values[2])


def test_notes_of_which_no_word_is_common_are_no_error() -> None:
    state, network = bag(["a", "b"], ["1", "2"])
    assert state["pairs"] == []
    assert network(fields(state, ["a"])).values.isfinite().all()


def test_a_bag_of_words_learns_what_words_and_pairs_say() -> None:
    rng = np.random.default_rng(0)
    common = [f"word{chr(97 + i)}" for i in range(15)]
    target = np.arange(240) % 2
    texts = []
    for kind in target:
        words = list(rng.choice(common, 30))
        place = rng.integers(0, 29)
        words[place : place + 2] = ["chest", "pain"] if kind else ["pain", "chest"]  # only their order tells
        texts.append(" ".join(words))
    state, network = bag(texts[:160], [str(i) for i in range(160)], dropout=0.3)
    given, goal = fields(state, texts), torch.from_numpy(target)
    model = nn.ModuleDict({"encoder": network.train(), "head": nn.Linear(WIDTH, 2)})
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def logits(rows: slice) -> torch.Tensor:
        made = network({key: field[rows] for key, field in given.items()})
        return model["head"](made.values[:, 0])

    for step in range(150):
        rows = slice(step % 10 * 16, step % 10 * 16 + 16)
        loss = nn.functional.cross_entropy(logits(rows), goal[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    assert (logits(slice(160, 240)).argmax(1) == goal[160:]).float().mean() > 0.9  # chance is a half


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_recurrent_network_reads_both_ways_and_never_the_padding(cell: str, layers: int) -> None:
    encoder = Recurrent.model_validate({"cell": cell, "layers": layers, "hidden": 8, "min_patients": 2})
    state = encoder.fit(notes(), PATIENTS, 12)
    torch.manual_seed(0)
    network = encoder.build(WIDTH, state).eval()
    ids = torch.randint(2, state["tokens"], (1, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 12, dtype=torch.uint8)
    mask[0, 7:] = 0
    made = network({"ids": ids, "mask": mask}).values[0]
    changed = ids.clone()
    changed[0, 3] = 1
    other = network({"ids": changed, "mask": mask}).values[0]
    assert (made[:7] != other[:7]).any(1).all()
    short = network({"ids": ids[:, :7], "mask": mask[:, :7]}).values[0]
    torch.testing.assert_close(made[:7], short)


def test_pieces_of_words_are_learned_alike_for_all_that_read_in_order() -> None:
    from medmm.encoders.text_transformer import TextTransformer

    first = Recurrent(min_patients=2).fit(notes(), PATIENTS, 12)
    assert first == TextTransformer(min_patients=2).fit(notes(), PATIENTS, 12)
