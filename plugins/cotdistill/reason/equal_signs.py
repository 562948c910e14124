"""The tables of the lexer: what each LaTeX command, sign and name stands for."""

from __future__ import annotations

RELATIONS = {
    "\\le": "<=", "\\leq": "<=", "\\leqslant": "<=", "\\leqq": "<=", "\\ge": ">=", "\\geq": ">=",
    "\\geqslant": ">=", "\\geqq": ">=", "\\lt": "<", "\\gt": ">", "\\ne": "!=", "\\neq": "!=",
    "\\approx": "~", "\\simeq": "~", "\\sim": "~", "\\cong": "~", "\\doteq": "~", "\\equiv": "=",
    "\\in": "in", "=<": "<=", "=>": ">=", "==": "=", "<>": "!=", "\\coloneqq": "=",
}  # fmt: skip
OPERATORS = {
    "\\cdot": "*", "\\times": "*", "\\ast": "*", "\\star": "*", "\\div": "/", "\\pm": "pm",
    "\\mp": "mp", "\\cup": "cup", "\\bigcup": "cup", "\\cap": "cap", "\\setminus": "minus",
    "\\backslash": "minus", "\\bmod": "mod", "\\mod": "mod", "\\over": "over",
    "\\choose": "choose",
}  # fmt: skip
_FUNCTIONS_NAMES = (
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh log ln lg exp max min gcd "
    "lcm asin acos atan asinh acosh atanh arcsinh arccosh arctanh arsinh arcosh artanh det "
)
FUNCTIONS = frozenset(_FUNCTIONS_NAMES.split())
CONSTANTS = {
    "pi": "pi", "infinity": "inf", "infty": "inf", "inf": "inf", "oo": "inf", "infinite": "inf",
}  # fmt: skip
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi "
    "rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon "
    "Phi Psi Omega ell hbar "
)
GREEK = frozenset(_GREEK_NAMES.split())
# commands that say how something looks, not what it is
_DROPPED_NAMES = (
    "\\angle \\triangle \\boxed \\fbox \\framebox \\mathbf \\mathit \\mathsf "
    "\\mathcal \\mathfrak \\mathscr \\boldsymbol \\bm \\bf \\it \\rm \\sf \\therefore "
    "\\because \\measuredangle \\nonumber \\label \\phantom \\mathord \\mathop "
    "\\ensuremath \\mathbb \\color \\underline \\Large \\mathtt \\displaylines "
    "\\unicode "
)
DROPPED = frozenset(_DROPPED_NAMES.split())
FENCES = {
    "\\{": ("open", "\\{"), "\\}": ("close", "\\}"), "\\lbrace": ("open", "\\{"),
    "\\rbrace": ("close", "\\}"), "\\langle": ("open", "("), "\\rangle": ("close", ")"),
    "\\lparen": ("open", "("), "\\rparen": ("close", ")"), "\\lbrack": ("open", "["),
    "\\rbrack": ("close", "]"), "\\lfloor": ("open", "floor"), "\\rfloor": ("close", "floor"),
    "\\lceil": ("open", "ceil"), "\\rceil": ("close", "ceil"), "\\lvert": ("open", "|"),
    "\\rvert": ("close", "|"), "\\vert": ("bar", "|"), "\\mid": ("bar", "|"), "\\|": ("bar", "||"),
    "\\Vert": ("bar", "||"), "\\lVert": ("open", "||"), "\\rVert": ("close", "||"),
}  # fmt: skip
CHARACTERS = {
    "(": ("open", "("), ")": ("close", ")"), "[": ("open", "["), "]": ("close", "]"),
    "{": ("open", "{"), "}": ("close", "}"), "|": ("bar", "|"), ",": ("sep", ","),
    ";": ("sep", ";"), "&": ("cell", "&"), "+": ("op", "+"), "-": ("op", "-"), "*": ("op", "*"),
    "/": ("op", "/"), "^": ("op", "^"), "_": ("op", "_"), "!": ("op", "!"), "'": ("op", "'"),
    "%": ("op", "%"), ":": ("op", ":"), "€": ("word", "euro"), "£": ("word", "pound"),
    "¥": ("word", "yuan"), "₹": ("word", "rupee"), "#": ("word", "#"), "\"": ("word", "\""),
}  # fmt: skip
SAME_GREEK = {"varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta"}
CONNECTORS = ("and", "or")
EQUALS = ("is", "are", "equals", "equal")
