"""Whether two tokenizers give every id the same meaning, so that distributions can be compared.

Sizes say nothing: Qwen2.5 heads of 151,936 and 152,064 rows share one vocabulary and are cut to it,
while heads of equal size may give the same id to different tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from cotdistill.errors import Fault

_SHOWN = 5
_SPECIAL = ("eos_token_id", "bos_token_id", "pad_token_id")
REMEDY = "choose a teacher with the student's tokenizer, or train on the teacher's text instead"


def vocabulary_faults(student: Any, teacher: Any, texts: Iterable[str], place: str) -> list[Fault]:
    """Return how a teacher's tokenizer differs from the student's, for ids that both have.

    Both are tokenizers of transformers. `texts` are rows of the user's own; both must encode them
    alike, which finds other merges and normalisation. The padding token may differ: it is no
    target.
    """
    faults = _token_faults(student, teacher, place)
    if faults:
        return faults
    faults = [
        Fault(place, f"{name} is {theirs} for the teacher and {ours} for the student", "", REMEDY)
        for name in _SPECIAL[:2]
        if (ours := getattr(student, name)) != (theirs := getattr(teacher, name))
        and None not in (ours, theirs)
        and _bytes_of(teacher, theirs) != _bytes_of(student, ours)
    ]
    return faults + _encoding_faults(student, teacher, texts, place)


def shared_length(student: Any, teacher: Any) -> int:
    """Return how many ids both vocabularies have."""
    return min(len(student), len(teacher))


def _token_faults(student: Any, teacher: Any, place: str) -> list[Fault]:
    shared = shared_length(student, teacher)
    differing = [
        number
        for number in range(shared)
        if _bytes_of(student, number) != _bytes_of(teacher, number)
    ]
    if not differing:
        return []
    shown = ", ".join(
        f"{number}: {_shown(teacher, number)} (student {_shown(student, number)})"
        for number in differing[:_SHOWN]
    )
    sizes = f"{len(teacher):,} and {len(student):,} tokens"
    wrong = f"{len(differing):,} of {shared:,} token ids mean something else ({shown}; {sizes})"
    return [Fault(place, wrong, "the student's vocabulary", REMEDY)]


def _encoding_faults(student: Any, teacher: Any, texts: Iterable[str], place: str) -> list[Fault]:
    for number, text in enumerate(texts, 1):
        ours = student(text, add_special_tokens=False)["input_ids"]
        theirs = teacher(text, add_special_tokens=False)["input_ids"]
        if ours != theirs:
            first = next(
                (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
                min(len(ours), len(theirs)),
            )
            start = student.decode(ours[max(0, first - 3) : first + 3])
            wrong = f"row {number} is encoded otherwise, from token {first} on, near {start!r}"
            return [Fault(place, wrong, "the student's token ids", REMEDY)]
    return []


def _shown(tokenizer: Any, number: int) -> str:
    token = _bytes_of(tokenizer, number)
    return "nothing" if token is None else repr(token.decode("utf-8", "backslashreplace"))


def _bytes_of(tokenizer: Any, number: int) -> bytes | None:
    """Return what an id writes; special tokens are their own text."""
    token = tokenizer.convert_ids_to_tokens(number)
    if token is None:
        return None
    if number in tokenizer.added_tokens_decoder:
        return str(tokenizer.added_tokens_decoder[number].content).encode()
    byte_level = _byte_level_alphabet()
    if all(character in byte_level for character in token):
        return bytes(byte_level[character] for character in token)
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return str(token).replace("\u2581", " ").encode()


@functools.cache
def _byte_level_alphabet() -> dict[str, int]:
    """Return GPT-2's printable character for each byte, the other way round.

    >>> _byte_level_alphabet()["\u0120"]
    32
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others: Sequence[int] = [byte for byte in range(256) if byte not in printable]
    characters = [*map(chr, printable), *(chr(256 + place) for place in range(len(others)))]
    return dict(zip(characters, [*printable, *others], strict=True))
