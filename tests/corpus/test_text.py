"""Texts are compared by their words: the same, nearly the same, or a test's."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotdistill.benchmarks.question import without_label
from cotdistill.corpus.text.contamination import RULES, HeldOut, bare, index_of, overlaps
from cotdistill.corpus.text.minhash import (
    BANDS,
    band_keys,
    candidates,
    first_alike,
    run_hashes,
    similarity,
    sketches,
)
from cotdistill.corpus.text.words import shingles, spelled, text_keys, words_of

WORDS = [first + second for first in "bdfghklmnprst" for second in ("a", "e", "in", "ok", "ut")]


def prose(rng: random.Random, length: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(length))


@given(st.lists(st.text(max_size=40), max_size=6))
def test_words_are_cut_alike_in_a_crowd_and_alone(texts: list[str]) -> None:
    together = words_of(texts)
    assert together.counts.tolist() == [len(spelled(text)) for text in texts]
    alone = [words_of([text]).hashes for text in texts]
    assert together.hashes.tolist() == [value for hashes in alone for value in hashes.tolist()]


@given(st.lists(st.text("ab ,.01", max_size=30), min_size=1, max_size=6), st.integers(1, 4))
def test_runs_of_words_are_those_of_a_plain_loop(texts: list[str], length: int) -> None:
    words = words_of(texts)
    hashes, at = shingles(words, length)
    plain = [
        tuple(cut[place : place + length])
        for cut in map(spelled, texts)
        for place in range(len(cut) - length + 1)
    ]
    assert len(hashes) == len(at) == len(plain)
    seen: dict[tuple[str, ...], int] = {}
    for run, value in zip(plain, hashes.tolist(), strict=True):
        assert seen.setdefault(run, value) == value
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("It costs $1,234,567.", "it costs 1234567"),
        ("3.0 kg and 4.00 m", "3 kg and 4 m"),
        ("Janet’s ducks — 16 eggs", "Janet's ducks - 16 eggs"),
        ("Q: Is it?", "q Is it"),
        ("ＡＢＣ １２", "abc 12"),
    ],
)
def test_how_a_text_is_typeset_does_not_matter(one: str, two: str) -> None:
    keys = text_keys(words_of([one, two]))
    assert keys[0] == keys[1]


def test_a_hash_never_changes_from_release_to_release() -> None:
    assert text_keys(words_of(["Ida has 12 pens."])).tolist() == [9594650598540556037]


def test_similar_texts_meet_in_a_band_and_different_ones_do_not() -> None:
    rng = random.Random(5)
    met = apart = 0
    for _ in range(200):
        text = prose(rng, 120)
        words = text.split()
        for place in rng.sample(range(120), 3):  # about 0.86 of the runs stay
            words[place] = "zzz"
        hashes, owner = run_hashes(words_of([text, " ".join(words), prose(rng, 120)]))
        bands = band_keys(sketches(hashes, owner, 3))
        met += bool((bands[0] == bands[1]).any())
        apart += bool((bands[0] == bands[2]).any())
    assert met >= 197
    assert apart == 0


def test_similarity_is_jaccards_share_of_runs_of_three() -> None:
    def jaccard(one: str, two: str) -> float:
        sets = [
            {tuple(cut[place : place + 3]) for place in range(len(cut) - 2)}
            for cut in (spelled(one), spelled(two))
        ]
        return len(sets[0] & sets[1]) / len(sets[0] | sets[1])

    rng = random.Random(1)
    left = [prose(rng, 30) for _ in range(20)]
    right = [text.replace("ba", "zz") for text in left]
    expected = [jaccard(one, two) for one, two in zip(left, right, strict=True)]
    pairs = np.stack([np.arange(20), np.arange(20, 40)], axis=1)
    assert similarity(words_of(left + right), pairs).tolist() == pytest.approx(expected)


def test_candidates_and_groups_point_to_the_first_row() -> None:
    pairs = candidates(np.array([3, 3, 1, 3], dtype=np.uint32), np.arange(4))
    assert first_alike(pairs, 4).tolist() == [0, 0, 2, 0]
    assert BANDS == 21


TEST = HeldOut(
    "pens",
    "t1",
    "Ida has 12 red pens and 3 blue pens in her school bag on Monday. "
    "How many pens is that in all?",
    "15",
    "She adds the two kinds of pens that are in the bag on that day together.",
)
CHOICE = HeldOut("ice", "t2", "Q: What is cold? Answer choices: A: ice, B: fire", "A")


@pytest.mark.parametrize(
    ("question", "rationale", "rule"),
    [
        ("ida has 12 red pens and 3 blue pens in her school bag on monday: "
         "how many pens is that in all", "", "same_question"),
        ("Ida has 9 red pens and 4 blue pens in her school bag on Monday. "
         "How many pens is that in all?", "", "same_but_numbers"),
        ("What is cold? Answer choices: A: snow, B: ice", "", "same_stem"),
        ("Leo says: Ida has 12 red pens and 3 blue pens in her school bag on Sunday.", "",
         "thirteen_words"),
        ("Who?", "So in her school bag on Monday. How many pens lie there", "eight_words"),
        ("Who?", "So she adds the two kinds of pens that are in the bag on that day",
         "thirteen_words"),
        ("Who?", "She adds the two kinds of pens that are", ""),
        ("How many pens is that?", "", ""),
    ],
)  # fmt: skip
def test_each_rule_finds_its_kind_of_overlap(question: str, rationale: str, rule: str) -> None:
    index = index_of([TEST, CHOICE])
    hits = overlaps(index, [question], words_of([without_label(question)]), words_of([rationale]))
    assert [RULES[found] for found in hits.rule] == ([rule] if rule else [])


def test_runs_that_stand_in_more_than_ten_tests_are_boilerplate() -> None:
    intro = "Read the text with care and then say which of the two is right:"
    tests = [HeldOut("toy", str(n), f"{intro} {word} or not?", "A") for n, word in enumerate(WORDS)]
    question = f"{intro} something else?"
    asked = words_of([question])
    assert set(overlaps(index_of(tests[:10]), [question], asked, words_of([""])).row) == {0}
    assert len(overlaps(index_of(tests[:11]), [question], asked, words_of([""])).row) == 0


SHORT = HeldOut("short", "s1", "What is 7 times 8?", "56")
SUM = HeldOut("short", "s2", "What is 2 + 2?", "4")
CHINESE = HeldOut(
    "zh", "z1", "小明有三个苹果，又买了五个苹果，然后给了妹妹两个，请问他现在还有多少个苹果？", "6"
)
SHORT_CHINESE = HeldOut("zh", "z2", "三十的一半再加七等于几？", "22")
THAI = HeldOut("th", "t1", "มานีมีส้มอยู่เจ็ดผลและซื้อเพิ่มอีกห้าผลตอนนี้เธอมีส้มทั้งหมดกี่ผล", "12")


@pytest.mark.parametrize(
    ("question", "test"),
    [
        ("Please answer the following question. What is 7 times 8? Think step by step.", SHORT),
        ("Question: What is 7 times 8?\nAnswer:", SHORT),
        ("<|im_start|>user\nWhat is 7 times 8?<|im_end|>", SHORT),
        ("<p>What is <b>7</b> times 8?</p>", SHORT),
        ("What is **7** times 8?\nThink.", SHORT),
        ("Now: what is 7 ti\u200bmes 8?", SHORT),
        ("First say: what is 2+2? Then stop.", SUM),
        (f"请一步一步思考：{CHINESE.question}请给出答案。", CHINESE),
        (f"题目{SHORT_CHINESE.question}请回答", SHORT_CHINESE),
        (f"ตอบคำถามนี้ {THAI.question} ขอบคุณ", THAI),
        (f"Read with care and answer: {TEST.question} Show your work.", TEST),
    ],
)
def test_a_test_question_inside_a_wrapper_is_recognised(question: str, test: HeldOut) -> None:
    index = index_of([TEST, CHOICE, SHORT, SUM, CHINESE, SHORT_CHINESE, THAI])
    hits = overlaps(index, [question], words_of([bare(question)]), words_of([""]))
    strict = [RULES[rule] in ("same_question", "most_of_question") for rule in hits.rule]
    assert [index.questions[owner] for owner in hits.owner[strict]] == [test]


@pytest.mark.parametrize(
    "question",
    [
        "What is 2 - 2? Think first.",
        "What is 7 divided by 8? Think.",
        "小明有三本书，又借了五本书，现在他一共有多少本书可以看呢？",
        "มานีมีแมวอยู่สามตัวและสุนัขสองตัว",
    ],
)
def test_a_few_words_in_common_is_no_test_question(question: str) -> None:
    index = index_of([TEST, CHOICE, SHORT, SUM, CHINESE, SHORT_CHINESE, THAI])
    hits = overlaps(index, [question], words_of([bare(question)]), words_of([""]))
    assert "most_of_question" not in {RULES[rule] for rule in hits.rule}


FORMULA = HeldOut(
    "math",
    "1",
    "Find $r$ in $(r,\\theta)$, where $0 \\le \\theta < 2\\pi$ and $r = \\frac{3}{\\sqrt{5}}$ "
    "if Tom's ruler is $r < 4$.",
    "1",
)


@pytest.mark.parametrize(
    "change",
    [
        {"\\frac": "\\dfrac"},
        {"\\le": "\\leq", "(": "\\left(", ")": "\\right)"},
        {"\\theta": "θ", "\\pi": "π", "\\le": "≤", "\\sqrt": "√", "$": ""},
        {"'": "&#39;", "<": "&lt;"},
        {" $": "\\, \\(", "$ ": "\\) "},
    ],
)
def test_a_formula_in_another_spelling_is_the_same_question(change: dict[str, str]) -> None:
    question = FORMULA.question
    for old, new in change.items():
        assert old in question
        question = question.replace(old, new)
    hits = overlaps(index_of([FORMULA]), [question], words_of([bare(question)]), words_of([""]))
    assert [RULES[rule] for rule in hits.rule] == ["same_question"]


def test_another_relation_in_a_formula_is_another_question() -> None:
    question = FORMULA.question.replace("\\le", "\\ge")
    hits = overlaps(index_of([FORMULA]), [question], words_of([bare(question)]), words_of([""]))
    assert "same_question" not in {RULES[rule] for rule in hits.rule}


def test_a_question_of_the_same_template_is_not_most_of_another() -> None:
    tests = [
        HeldOut("dates", str(n), f"Today is {word} 9, 1909. What is the date one week from today "
                f"in MM/DD/YYYY? Answer choices: (A) 0{n % 9}/16/1909, (B) 09/{n}/1909", "A")
        for n, word in enumerate(WORDS)
    ]  # fmt: skip
    question = (
        "Yesterday was April 30, 2021. What is the date one week from today in MM/DD/YYYY? "
        "Answer choices: (A) 05/08/2021, (B) 05/09/2021"
    )
    hits = overlaps(index_of(tests), [question], words_of([question]), words_of([""]))
    assert "most_of_question" not in {RULES[rule] for rule in hits.rule}


def test_a_script_without_spaces_has_a_word_for_each_character() -> None:
    assert spelled("買三个りんご。ส้ม 한국어 in\u200bside") == [
        "買", "三", "个", "り", "ん", "ご", "ส", "้", "ม", "한국어", "inside",
    ]  # fmt: skip
