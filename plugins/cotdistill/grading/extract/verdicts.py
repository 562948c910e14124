"""Which option a text calls right: in a list of verdicts, by elimination, in any language.

`A. Wrong. B. Right. C. Wrong.` chooses B, and so do `that leaves B` and `La opción correcta es la
B.`: what counts is a clause with one option letter, a word for "answer", "correct" or "option", and
no denial. The words are stems of some fifty languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from cotdistill.grading.extract.spans import sentences_backwards

Reading = tuple[str, int, int]

_LAST = 3_000  # characters that are looked at, from the end
_RIGHT = r"correct|right|true|yes|valid|accurate|matches|✓|✔|✅|☑|√|正确|正確|对|對|正しい|정답|맞"
_WRONG = (
    r"incorrect|wrong|false|no|not|invalid|inaccurate|✗|✘|❌|✖|×|错误|錯誤|不正确|不正確|错|不对|誤"
    r"|틀"
)
_ITEM = re.compile(
    r"(?:^|(?<=[\n.,;:!?，。；、✓✔✅☑✗✘❌✖)])|(?<=\s))[\s*\-•>(\[]{0,6}"
    r"(?:(?:option|choice|answer|选项|選項)\s?)?[(\[*]{0,3}(?P<letter>[A-J])"
    r"(?P<link>[*)\].:：、]{0,4}\s{0,3}(?:[-–—=]{0,2}|is|was|seems)\s{0,2}[*_(]{0,3})(?:\ufe0f)?"
    rf"(?:(?P<wrong>{_WRONG})|(?P<right>{_RIGHT}))(?![A-Za-z])",
    re.IGNORECASE | re.MULTILINE,
)
# "- [x] B", "✅ B": the one line that is ticked
_TICKED = re.compile(
    r"^[\s*\->]{0,6}(?:[✓✔✅☑]\ufe0f?|\[[xX]\])\s{0,3}(?:(?:option|choice)\s)?[(\[*]{0,3}"
    r"(?P<letter>[A-J])(?![A-Za-z'’])",
    re.MULTILINE,
)
_TWO_LETTERS = re.compile(
    r"(?<![A-Za-z])([A-J])(?![A-Za-z]).*?(?<![A-Za-z])(?!\1)[A-J](?![A-Za-z])", re.DOTALL
)
_LETTER = r"[*\"'(\[$]{0,3}(?P<letter>[A-J])(?![A-Za-z'’])[*\"')\]$]{0,3}"
_LEFT = re.compile(
    rf"\b(?:leaves?|leaving|left\swith|remains?|remaining|elimination)\b[\s,:]{{1,3}}"
    rf"(?:(?:us|only|just|with|is|option|choice|answer|as|the|correct)\s){{0,5}}{_LETTER}"
    rf"|(?<!\w){_LETTER.replace('letter', 'last')}\s(?:remains|is\sleft|is\sall\sthat)\b"
    rf"|\b(?:only|just)\s(?:option\s|choice\s)?{_LETTER.replace('letter', 'only')}\s"
    r"(?:remains|is\sleft|is\spossible|works|fits|survives|is\scorrect|can\sbe)"
)
_ELIMINATES = ("leav", "left", "remain", "eliminat", "only", "just", "rul", "exclud", "discard",
               "dismiss", "cross", "reject", "cannot", "can't", "can’t")  # fmt: skip
_EXCLUDING = re.compile(
    r"\b(?:rul(?:e|es|ed|ing)\sout|eliminat\w+|exclud\w+|discard\w*|dismiss\w*|cross(?:ed|ing)?\s(?:out|off)"
    r"|reject\w*|can(?:no|['’])t\sbe)\s(?:both\s|options?\s|choices?\s)?"
    r"(?P<letters>[(\[]?[A-J][)\]]?(?:(?:\s?,\s?|\s?/\s?)[(\[]?[A-J][)\]]?(?![A-Za-z]))*"
    r"(?:,?\s(?:and|or)\s(?:options?\s|choices?\s)?[(\[]?[A-J][)\]]?)*)(?![A-Za-z])",
    re.IGNORECASE,
)

_ANSWER_STEMS = (
    # answer
    "respuesta resposta réponse reponse antwort antwoord risposta svar vastaus vastus odpowied "
    "odpověď odpoveď odgovor одговор отговор ответ відповід адказ válasz răspuns raspuns απάντηση "
    "cevap yanıt jawaban jawapan đáp án trả lời sagot jibu atsakym atbild erantzun ateb freagra "
    "svarið përgjigj javob cavab жауап хариулт პასუხ պատասխան إجابة الإجابة الجواب جواب پاسخ תשובה "
    "उत्तर जवाब উত্তর பதில் விடை సమాధాన ಉತ್ತರ ഉത്തര જવાબ ਉੱਤਰ ਜਵਾਬ පිළිතුර คำตอบ ตอบ ຄຳຕອບ ចម្លើយ "
    "အဖြေ መልስ 答案 答え 解答 回答 正解 选 選 정답 답 lösung oplossing soluc soluç soluz "
    # correct
    "correct corret corect richtig korrekt juist giust rätt riktig rigtig oikea poprawn prawidłow "
    "správn helyes правильн верн вірн правилн точан тачан točan točn pravil σωστ doğru benar betul "
    "đúng tamang sahihi teising pareiz õige zuzen regte gywir ceart réttur saktë to'g'ri düzgün "
    "дұрыс зөв სწორ ճիշտ صحيح الصحيح درست صحیح נכונ सही सहि সঠিক சரியான సరైన ಸರಿಯಾದ ശരിയായ સાચો "
    "ਸਹੀ योग्य बरोबर නිවැරදි ถูกต้อง ถูก ຖືກ ត្រឹមត្រូវ မှန် ትክክለኛ 正确 正確 对 對 正しい 맞 옳 "
    # option
    "opción opció opcion opção option alternativ letra lettre lletra lettera buchstabe opzione "
    "optie variant вариант варіант опция seçenek şık pilihan opsi lựa chọn chaguo خيار گزینه "
    "אפשרות विकल्प বিকল্প ตัวเลือก ข้อ 选项 選項 選択肢 번 보기 valg valet keuze wybier wybór "
    "možnost answer choice"
)
_DENIAL_STEMS = (
    "incorrect incorret incorect inkorrekt falsch fals falso faux fausse errad erron errón equivoc "
    "sbagliat scorrett onjuist fout felakt feil forkert fejl väärä väär niepoprawn nieprawidłow "
    "błęd špatn chybn nespráv helytelen hibás greșit неправильн неверн невірн погрешан netočan "
    "nepravil грешн неточн λάθος yanlış salah không sai mali makosa neteising nepareiz vale okerra "
    "verkeerd خطأ خاطئ ليس غلط نادرست نیست اشتباه שגוי לא गलत नहीं ভুল নয় தவறு తప్పు चूक चुकीचे ผิด "
    "ไม่ 错 錯 不 非 違 間違 ない 誤 틀렸 틀린 아니 아닙 wrong eliminat"
)
_DENIAL_WORDS = (
    "not cannot no nor neither never false nicht kein keine nein no pas ne non niet geen inte "
    "ikke ei eivät nie není nem nu не ні δεν değil bukan tidak hindi si nije ne"
)
_BETWEEN_CLAUSES = re.compile(
    r"[,;:，；。、]\s?(?!\s?[(\[*\"'“‘]{0,3}[A-J](?:[^A-Za-z]|$))|\s[-–—]\s(?!\s?[A-J](?:[^A-Za-z]|$))"
    r"|[.]\s|(?<=[^A-Za-z])而"
)
_ALONE = re.compile(
    r"(?<![A-Za-z\u00c0-\u024f\u0370-\u04ff\d'’_\\])(?P<letter>[A-J])(?![A-Za-z\u00c0-\u024f\u0370-\u04ff\d_]|['’]\w{4})"
)
# "A resposta", "A helyes válasz", "E então": an article or a conjunction, not an option
_ARTICLE = re.compile(r"[AEI]\s+[a-z\u00e0-\u024f]")
_VERB_BEHIND = re.compile(
    r"[A-J]\s+(?:is|ist|est|es|é|è|är|er|to|jest|je|da|adalah|ialah|yra|este|on|the|and|or|because|as"
    r"|since|correct|right)\b"
)


class _Stems:
    """Beginnings of words in Latin script, and pieces of text in any other."""

    def __init__(self, words: str) -> None:
        latin = [word for word in words.split() if _LATIN.match(word)]
        self.latin = frozenset(latin)
        self.lengths = sorted({len(word) for word in latin})
        self.others = tuple(word for word in words.split() if not _LATIN.match(word))
        self._begins = lru_cache(maxsize=4096)(self._of_latin)  # most clauses have the same words

    def are_in(self, clause: str) -> bool:
        """Whether a clause has one of the words."""
        flat = clause.lower()
        for word in _WORD.findall(flat):
            if self._begins(word[: self.lengths[-1]]):
                return True
        return not flat.isascii() and any(piece in flat for piece in self.others)

    def _of_latin(self, word: str) -> bool:
        return any(word[:length] in self.latin for length in self.lengths)


_LATIN = re.compile(r"[a-z\u00c0-\u024f\u1e00-\u1eff]")
_WORD = re.compile(r"[a-z\u00c0-\u024f\u1e00-\u1eff']+")
_ANSWERS, _DENIES = _Stems(_ANSWER_STEMS), _Stems(_DENIAL_STEMS)
_DENIAL = re.compile(rf"(?<!\w)(?:{'|'.join(_DENIAL_WORDS.split())})(?!\w)|n['’]t\b", re.IGNORECASE)


def letter_of_verdicts(
    text: str, start: int, end: int, options: Mapping[str, str] | None
) -> Reading | None:
    r"""Read the one option that a list of verdicts calls right, or that elimination leaves.

    >>> letter_of_verdicts("A. Wrong.\nB. Right.\nC. Wrong.", 0, 29, None)
    ('B', 10, 11)
    >>> letter_of_verdicts("We rule out A and C. That leaves B.", 0, 35, None)
    ('B', 33, 34)
    """
    start = max(start, end - _LAST)
    right, wrong = _verdicts(text, start, end, options)
    if len(right) + len(wrong) > 1 and (wrong or len(right) > 1):
        if right:
            return next(iter(right.values())) if len(right) == 1 else None
        if options and (remaining := _only_one_left(options, set(wrong), start, end)):
            return remaining
    ticked = {found["letter"]: found.span("letter") for found in _TICKED.finditer(text, start, end)}
    if len(ticked) == 1 and (options is None or next(iter(ticked)) in options):
        letter, span = next(iter(ticked.items()))
        return letter, *span
    tail = text[start:end].lower()
    if not any(word in tail for word in _ELIMINATES):
        return None
    for begin, stop in sentences_backwards(text, start, end, most=2):
        for left in reversed([*_LEFT.finditer(text, begin, stop)]):
            group = next(name for name in ("letter", "last", "only") if left[name])
            if options is None or left[group] in options:
                return left[group], *left.span(group)
    return _by_exclusion(text, start, end, options)


def lists_verdicts(
    text: str, start: int, end: int, options: Mapping[str, str] | None = None
) -> bool:
    """Whether a text judges several options one by one.

    >>> lists_verdicts("A) true B) true C) false", 0, 24), lists_verdicts("A is right.", 0, 11)
    (True, False)
    """
    right, wrong = _verdicts(text, max(start, end - _LAST), end, options)
    return len({*right, *wrong}) > 1


def _verdicts(
    text: str, start: int, end: int, options: Mapping[str, str] | None
) -> tuple[dict[str, Reading], dict[str, Reading]]:
    right: dict[str, Reading] = {}
    wrong: dict[str, Reading] = {}
    if not _TWO_LETTERS.search(text, start, end):
        return right, wrong
    for item in _ITEM.finditer(text, start, end):
        letter, word = item["letter"], item["right"] or item["wrong"]
        if word.isascii() and not item["link"].strip():
            continue  # "A true story", "a wrong turn"
        if letter.isupper() and (options is None or letter in options):
            (right if item["right"] else wrong)[letter] = (letter, *item.span("letter"))
            (wrong if item["right"] else right).pop(letter, None)
    return right, wrong


def _by_exclusion(
    text: str, start: int, end: int, options: Mapping[str, str] | None
) -> Reading | None:
    excluded: set[str] = set()
    for begin, stop in sentences_backwards(text, start, end, most=3):
        for found in _EXCLUDING.finditer(text, begin, stop):
            excluded |= set(re.findall(r"[A-J](?![A-Za-z])", found["letters"]))
    return _only_one_left(options, excluded, start, end) if options and excluded else None


def _only_one_left(
    options: Mapping[str, str], excluded: set[str], start: int, end: int
) -> Reading | None:
    left = [letter for letter in options if letter.strip("() ").upper() not in excluded]
    return (left[0].strip("() ").upper(), start, end) if len(left) == 1 else None


def letter_of_clause(
    text: str, start: int, end: int, options: Mapping[str, str] | None
) -> Reading | None:
    """Read the letter that the last sentences call the answer, in whatever language.

    >>> letter_of_clause("Die richtige Antwort ist C.", 0, 27, None)
    ('C', 25, 26)
    >>> letter_of_clause("Antwort A ist falsch.", 0, 21, None)
    """
    for begin, stop in sentences_backwards(text, start, end, most=2):
        found = [
            letter
            for first, last in _clauses(text, begin, stop)
            if (letter := _letter_of(text, first, last, options))
        ]
        if found:
            return found[-1] if len({letter for letter, _, _ in found}) == 1 else None
    return None


def _clauses(text: str, begin: int, stop: int) -> Iterator[tuple[int, int]]:
    at = begin
    for cut in _BETWEEN_CLAUSES.finditer(text, begin, stop):
        yield at, cut.start()
        at = cut.end()
    yield at, stop


def _letter_of(
    text: str, begin: int, stop: int, options: Mapping[str, str] | None
) -> Reading | None:
    """Return the one letter of a clause that affirms it."""
    found = [
        (mark["letter"], *mark.span("letter"))
        for mark in _ALONE.finditer(text, begin, stop)
        if (options is None or mark["letter"] in options)
        and (
            not _ARTICLE.match(text, mark.start(), stop)
            or _VERB_BEHIND.match(text, mark.start(), stop)
        )
    ]
    clause = text[begin:stop]
    if len({letter for letter, _, _ in found}) != 1 or not _ANSWERS.are_in(clause):
        return None
    if _DENIES.are_in(clause) or _DENIAL.search(clause):
        return None
    return found[-1]
