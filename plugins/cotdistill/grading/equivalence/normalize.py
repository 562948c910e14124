"""Answers as text: typography, LaTeX dress, and the comparison of words."""

from __future__ import annotations

import re
import unicodedata

_SIGNS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "﹣": "-", "－": "-", "×": r"\times ",
    "✕": r"\times ",
    "÷": "/", "∕": "/", "⁄": "/", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ",
    "∗": "*",
    "≤": r"\le ", "≦": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "≧": r"\ge ", "⩾": r"\ge ",
    "≠": r"\ne ",
    "≈": r"\approx ", "≃": r"\approx ", "≅": r"\cong ", "∼": r"\sim ",
    "≡": r"\equiv ", "∝": r"\propto ", "∞": r"\infty ", "√": r"\sqrt ",
    "∛": r"\sqrt[3]", "°": r"^\circ ", "º": r"^\circ ", "∘": r"^\circ ", "˚": r"^\circ ",
    "∪": r"\cup ", "∩": r"\cap ",
    "∈": r"\in ", "∖": r"\setminus ", "±": r"\pm ", "∓": r"\mp ", "ℝ": r"\mathbb{R}",
    "ℤ": r"\mathbb{Z}", "∅": r"\emptyset ", "∠": r"\angle ", "△": r"\triangle ",
    "→": r"\rightarrow ",
    "←": r"\leftarrow ", "⇒": r"\Rightarrow ",
    "⟹": r"\implies ", "⇐": r"\Leftarrow ", "⇔": r"\iff ", 
    "⟺": r"\iff ", "↔": r"\iff ", "↦": r"\mapsto ", "⊂": r"\subset ", 
    "⊆": r"\subseteq ", "⊃": r"\supset ", "⊇": r"\supseteq ", 
    "∉": r"\notin ", "∥": r"\parallel ", "⊥": r"\perp ", "∧": r"\land ", "∨": r"\lor ", 
    "¬": r"\neg ", "∀": r"\forall ", "∃": r"\exists ", "∂": r"\partial ", 
    "⊗": r"\otimes ", "⊕": r"\oplus ", 
    "′": "'", "’": "'", "‘": "'", "“": '"', "”": '"',
    "〈": r"\langle ",
    "〉": r"\rangle ", "⟨": r"\langle ", "⟩": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
    "⌈": r"\lceil ", "⌉": r"\rceil ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ",
    "…": r"\ldots ",
    "、": ",", "，": ",", "；": ";", "。": ".", "：": ":", "％": "%", "（": "(", "）": ")",
    "【": "[",
    "】": "]",
    "✓": "", "✔": "", "✅": "", "☑": "", "■": "", "∎": "", "\ufe0f": "",
    "\u200b": "", "\u200c": "", "\u200d": "", "\u2060": "", "\ufeff": "", "\u2061": "",
    "\u2062": " ",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "ε": r"\epsilon ",
    "θ": r"\theta ",
    "λ": r"\lambda ", "μ": r"\mu ", "µ": r"\mu ", "π": r"\pi ", "ρ": r"\rho ", "σ": r"\sigma ",
    "τ": r"\tau ",
    "φ": r"\phi ", "ϕ": r"\phi ", "ψ": r"\psi ", "ω": r"\omega ", "Δ": r"\Delta ",
    "Ω": r"\Omega ", "Σ": r"\Sigma ",
}  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙ", "0123456789+-n", strict=True))
_RAISED_RUN = re.compile("[" + "".join(_RAISED) + "]+")
_LOWERED_RUN = re.compile("[" + "".join(_LOWERED) + "]+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_SIZES = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|middle)(?![a-zA-Z])\s*\.?(?=\s*)"
    r"|\\(?:displaystyle|textstyle|scriptstyle|limits|nolimits|boldmath|hfill|hline|noindent|"
    r"centering|strut|large|Large|LARGE|huge|Huge|small|normalsize)(?![a-zA-Z])"
)
_THIN_IN_NUMBER = re.compile(
    r"(?<=\d)(?:,\\!\s*|\{,\}(?:\\!)?\s*|\\,|\\!|\\;|\\ (?=\d{3}))(?=\d{3}(?!\d))"
)
_SPACES = re.compile(
    r"(?<!\\)\\[,;:> ]|~|\\(?:quad|qquad|enspace|thinspace|hspace\{[^{}]*\})(?![a-zA-Z])|\s+"
)
_FENCES = re.compile(r"(?<!\\)\\[()\[\]]")
_ORDINAL = re.compile(r"(?<=\d)\s?(?:\^?\{?(?:\\(?:text|mathrm|textrm)\{)?)(?:st|nd|rd|th)\}{0,2}$")
_TIMES_TEN = re.compile(r"(?<=\d)\s?[xX]\s?(?=10\s?\^)")  # 3 x 10^5
_COMMA = re.compile(r"(?<=\d)\{,\}(?=\d)")  # 1{,}5: a decimal comma, thousands being gone
# rows of equations, which are a list
_ROWS = re.compile(
    r"\\(?:begin|end)\s*\{(?:cases|align(?:ed)?|gather(?:ed)?|split|equation|eqnarray)\*?\}"
)
# one column of equations
_COLUMN = re.compile(r"\\begin\s*\{array\}\s*\{\s*[lcr]\s*\}|(?<=\w)\s*\\end\s*\{array\}")
_BOXED = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{(.*)\}", re.DOTALL)
_DRESS = re.compile(r"[\\$*<`~{]")
_POWER = re.compile(r"\w\s?\*\*\s?[\w({]")  # 2**3 is no bold type
_DOUBLE = re.compile(r"\\\\(?=[a-zA-Z]{2}|[!,;$%{}])")
_LABEL = re.compile(r"(?:(?:final|correct|the)\s+)*answer\s*(?:is|:|=)+\s*", re.IGNORECASE)
_MARKUP = re.compile(
    r"\*\*|^\*|\*$|__(?=\S)|</?(?:answer|b|i|strong|em)>|<\|[a-z_]+\|>|</s>|`+", re.IGNORECASE
)

# ]1,2] as French and German books write (1,2]
_OUTWARD = re.compile(r"([\[\]])([^\[\]()]{1,60}[,;][^\[\]()]{1,60})([\[\]])")


def _inward(found: re.Match[str]) -> str:
    opening, ends, closing = found.groups()
    return ("(" if opening == "]" else "[") + ends + (")" if closing == "[" else "]")


_ARTICLES = re.compile(r"\b(?:the|a|an)\b")
_TEXT_COMMAND = re.compile(
    r"\\(?:text|mbox|mathrm|mathbf|mathit|mathsf|textbf|textit|textrm|textnormal|emph|operatorname)\b\s*"
)
_PUNCTUATION = re.compile(r"[^\w\s+\-*/=<>^.\\]|(?<!\d)\.|\.(?!\d)|_")


def tidy(text: str) -> str:
    r"""Undress an answer: one kind of sign for each meaning, no sizes, no delimiters, no full stop.

    >>> tidy(r"$\left(3,\,−\dfrac{1}{2}\right)$.")
    '(3, -\\dfrac{1}{2} )'
    >>> tidy(r"11,\!111"), tidy("5½"), tidy(" **x²** ")
    ('11111', '5\\frac{1}{2}', 'x^{2}')
    """
    if not text.isascii():
        text = _plain_signs(text)
    text = _CONTROL.sub(" ", text).strip()
    if text[:1] == text[-1:] == "'" and len(text) > 2:
        text = text[1:-1].strip()
    if text[:1] == "]" or text[-1:] == "[":
        text = _OUTWARD.sub(_inward, text)
    if "\\" in text and _HAS_STYLE.search(text):
        text = _without_style(text)
    if ".." in text or "dots" in text:
        text = _ENDLESS.sub(_repeating, text)
    if not _DRESS.search(text):
        text = _ORDINAL.sub("", _ends(" ".join(text.split())))
        return _TIMES_TEN.sub(r"\\times ", text) if "^" in text else text
    if not _POWER.search(text):
        text = _MARKUP.sub("", text)
    if "\\\\" in text and "\\begin" not in text:
        text = _DOUBLE.sub(r"\\", text)
    text = _THIN_IN_NUMBER.sub("", text)
    text = _COMMA.sub(".", text)
    if "array" in text and "=" in text and _COLUMN.search(text):
        text = _COLUMN.sub(" ", text).replace("\\\\", " , ")
    if _ROWS.search(text):
        text = _ROWS.sub(" ", text).replace("\\\\", " , ").replace("&", " ")
    text = _FENCES.sub(" ", _SIZES.sub(" ", text)).replace("\\!", "")
    text = _ends(_SPACES.sub(" ", _undollar(text)).strip())
    text = _TIMES_TEN.sub(r"\\times ", _ORDINAL.sub("", text))
    boxed = _BOXED.fullmatch(text)
    return tidy(boxed[1]) if boxed and _balanced(boxed[1]) else text


_DROPPED_ARGUMENTS = {
    "textcolor": 1, "colorbox": 1, "fcolorbox": 2, "color": 1, "phantom": 1, "hphantom": 1,
    "vphantom": 1, "hspace": 1, "vspace": 1, "tag": 1, "label": 1, "raisebox": 1, "rule": 2,
    "href": 1, "htmlClass": 1, "style": 1, "class": 1, "kern": 0, "checkmark": 0, "qed": 0,
    "blacksquare": 0, "qedsymbol": 0, "ding": 1,
}  # fmt: skip
_HAS_STYLE = re.compile(rf"\\(?:{'|'.join(_DROPPED_ARGUMENTS)})(?![a-zA-Z])\*?")
_ARGUMENT = re.compile(r"\s*(?:\[[^\[\]]*\]|\{[^{}]*\})")
_ENDLESS = re.compile(r"(?<![\d.])(\d+)\.(\d+)\s?(?:\.{2,}|\\[lc]?dots)(?![\d{])")


def _without_style(text: str) -> str:
    r"""Take away commands of colour, space and the like, with the arguments that are not text.

    >>> _without_style(r"\textcolor{red}{4} \checkmark")
    '{4} '
    """
    while found := _HAS_STYLE.search(text):
        end = found.end()
        dropped = _DROPPED_ARGUMENTS[found[0].strip("\\*")]
        while dropped and (argument := _ARGUMENT.match(text, end)):
            end = argument.end()
            dropped -= not argument[0].lstrip().startswith("[")
        text = text[: found.start()] + text[end:]
    return text


def _repeating(found: re.Match[str]) -> str:
    r"""Write 0.333... as 0.\overline{3}; leave digits that do not repeat as they are."""
    whole, digits = found[1], found[2]
    for period in range(1, len(digits) // 2 + 1):
        block = digits[-period:]
        copies = len(digits[: len(digits) - len(digits) % period]) // period
        start = len(digits)
        while start >= period and digits[start - period : start] == block:
            start -= period
        copies = (len(digits) - start) // period
        if copies >= 3 or (copies == 2 and (start == 0 or period > 1)):
            return rf"{whole}.{digits[:start]}\overline{{{block}}}"
    return f"{whole}.{digits}"


_OPTION = re.compile(
    r"\\(?:text|textbf|mathrm|mathbf|textrm)\s?\{\s?\(?([A-J])[).]\s*\}"
    r"(?:\\[ ,;:]|\\quad|~|\s)*(?=\S)"
)


def without_option_dress(text: str) -> str:
    r"""Write the mark of an option before its text plainly.

    >>> without_option_dress(r"\textbf{(B)}\ 12"), without_option_dress(r"\text{(B)}")
    ('(B) 12', '\\text{(B)}')
    """
    return _OPTION.sub(r"(\1) ", text) if text.startswith("\\") else text


def _balanced(text: str) -> bool:
    """Whether no brace closes before it opens."""
    depth = 0
    for sign in text.replace("\\{", "").replace("\\}", ""):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:
            return False
    return depth == 0


def _ends(text: str) -> str:
    text = _LABEL.sub("", text, count=1) if text[:1].isalpha() and _LABEL.match(text) else text
    while text and (text[-1] in ".,;:\\" or text[0] in ",;:" or text[-1].isspace()):
        if text.endswith("\\") or text[-1] in ".,;: ":
            text = text[:-1].rstrip()
        else:
            text = text[1:].lstrip()
    return text


def _undollar(text: str) -> str:
    r"""Take away `$` as a delimiter, keep it (as `\$`) as money."""
    if "$" not in text:
        return text
    bare = text.replace("\\$", "")
    if bare.count("$") % 2:
        return re.sub(r"(?<!\\)\$(?=\s*[\d.])", r"\\$", text, count=1).replace("$$", " ")
    return re.sub(r"(?<!\\)\$", " ", text)


def _plain_signs(text: str) -> str:
    text = _RAISED_RUN.sub(lambda run: "^{" + "".join(_RAISED[c] for c in run[0]) + "}", text)
    text = _LOWERED_RUN.sub(lambda run: "_{" + "".join(_LOWERED[c] for c in run[0]) + "}", text)
    return _NOT_ASCII.sub(lambda sign: _plain_sign(sign[0]), text)


def _plain_sign(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    flat = unicodedata.normalize("NFKC", sign)
    if "⁄" in flat:  # a vulgar fraction
        top, _, bottom = flat.partition("⁄")
        return rf"\frac{{{top}}}{{{bottom}}}" if bottom else flat
    if len(flat) == 1 and unicodedata.category(flat) == "Nd":
        return str(unicodedata.digit(flat))
    return flat


def as_words(text: str) -> str:
    r"""Reduce a text answer to lower-case words without dress, articles or punctuation.

    >>> as_words(r"\text{The  East.}"), as_words("United States of America!")
    ('east', 'united states of america')
    """
    flat = _TEXT_COMMAND.sub(" ", text.casefold())
    flat = _PUNCTUATION.sub(" ", flat)
    words = _ARTICLES.sub(" ", flat).split()
    return " ".join(words) if words else " ".join(flat.split())


def compact(text: str) -> str:
    r"""Leave out the spaces that mean nothing, keeping those between two digits or two letters.

    >>> compact("2 n - 2"), compact("1 2"), compact("a b")
    ('2n-2', '1 2', 'a b')
    """
    return re.sub(" ", _space_kept, text)


def _space_kept(match: re.Match[str]) -> str:
    before, after = match.string[match.start() - 1], match.string[match.end() : match.end() + 1]
    digits = before.isdigit() and (after.isdigit() or after == ".")
    return " " if digits or (before.isalpha() and after.isalpha()) else ""


def squeezed(text: str) -> str:
    r"""Leave only what can matter in a text that is not read: no text commands, braces or spaces.

    Digits never run together: a space between two of them stays.

    >>> squeezed(r"\text{east} "), squeezed("e-e-e-i"), squeezed("1 2")
    ('east', 'eeei', '1 2')
    """
    flat = _TEXT_COMMAND.sub("", text)
    if not re.search(r"[\\^_/]", flat):
        flat = flat.replace("{", "").replace("}", "")
    flat = compact(flat)
    if re.fullmatch(r"[A-Za-z](?:[ \-.][A-Za-z])+", flat):
        flat = re.sub(r"[ \-.]", "", flat)
    return re.sub(r"(?<=[A-Za-z]) (?=[A-Za-z])", "", flat)
