"""What secrets look like in text: names that announce one, the forms of a value, and well-known kinds of tokens.

Every pattern takes time in proportion to the text, whatever it holds: what it has run over it does not run over
again (possessive repeats, https://docs.python.org/3.11/library/re.html), and what it looks ahead at is bounded.
Each begins with letters that `re` leaps to, with what must stand before them behind them; for that flag forbids
leaping, those that ignore case look at the text in small letters.
"""

from __future__ import annotations

import re

REDACTED = "‹redacted›"

# -- what is assigned: a name, a sign, a value ----------------------------------------------------------------

_WORDS = (
    r"(?:pass(?:w(?:or)?d|[_-]?phrase"
    r"|\d{0,2}(?![\w.-])(?<!bypass)(?<!compass)(?<!overpass)(?<!underpass)(?<!surpass)(?<!trespass))"
    r"|_pass(?!_(?:rate|count|ratio)|[a-z])|pwd(?<!oldpwd)|secret(?!ar)|token(?!i[sz])|credential"
    r"|(?:api|access|private|account|encryption|signing|master)[_-]?key|redis_?auth"
    r"|_key(?![a-z])(?<!group_key)(?<!primary_key)(?<!foreign_key)(?<!routing_key)(?<!public_key))"
)
WORD_HINTS = ("pass", "pwd", "secret", "token", "key", "credential", "redisauth", "redis_auth")
_NAME = re.compile(rf"{_WORDS}[\w.-]*+$|(?:authorization|cookies?)$")
# A colour as a terminal has it, also where its first character was made printable.
_COLOUR = r"(?:[\x1b�]|\\u001b|\\x1b|\\033)\[[\d;]{0,15}m"
_GAP = rf"[^\S\n]{{0,20}}+(?>(?:{_COLOUR}[^\S\n]{{0,20}}+){{0,3}})"
_CLOSE = r"(?>(?:\\*+[\"'`\])]){0,4})"  # what may stand between a name and its sign
# Variables are also listed as `"name": "DB_PASSWORD", "value": "x"`. On the next line stands a value only where no
# setting of its own does.
_SIGN = (
    rf"{_CLOSE}{_GAP}(?::{{1,2}}=?|={{1,3}}>?|%3d|[,;]?\s{{0,40}}+(?>(?:\\*+[\"'`])?)value{_CLOSE}{_GAP}[:=])"
    rf"{_GAP}(?>(?:\n[^\S\n]{{0,2}}(?![\w.-]{{1,60}}[:=]))?)"
)


def _quoted(sign: str, level: int) -> str:
    """A text in quotes; JSON within JSON has 1, 3 and 7 backslashes before them, and more before those within.

    Without an end it goes up to the end of the line, or of the quotes around it.
    """
    mark = rf"\\{{{2**level - 1}}}{sign}"
    return rf"{mark}(?>(?:[^\\\n{sign}]++|\\++(?!{sign})|\\{{{2**level},}}+{sign})*)(?>(?:{mark})?)"


# Groups are `(?>…)`: before 3.11.5 Python mistakes a possessive group that holds choices, and in all of 3.11 the span
# of a group that captures within one (https://github.com/python/cpython/issues/106052 and 101955).
_QUOTED = "|".join(_quoted(sign, level) for level in range(4) for sign in "\"'`")


def _bracketed() -> str:
    """A list or an object, four levels deep; what is deeper or has no end goes as far as lines are indented."""
    within = r"[\[({](?>(?:[^\n]++|\n(?=[\s\])}]))*)"
    for _ in range(4):
        plain = rf"[^\[\](){{}}\\\n\"'`]++|{_QUOTED}|\\++[\"'`]?|\n(?=[\s\])}}])"
        within = rf"[\[({{](?>(?:{plain}|{within})*)[\])}}]?+"
    return within


# A comma, `;`, `&` or `}` is a part of a value unless another setting or nothing follows; a colour is none.
_BARE = (
    r"(?:[^\s,;&\"'`}<>\\\x1b�]++|[,;&](?!\s|\Z|[\"'`\\]|[\w.-]{1,40}+[\"'`\\]{0,4}[:=])"
    rf"|}}(?=\w)|(?!{_COLOUR})[\x1b�]|\\++(?![\"'`]|(?:u001b|x1b|033)\[))"
)
_FOLDED = (
    r"[|>][-+\d]{0,2}[^\S\n]{0,20}(?>(?:\n[^\S\n]++[^\n]*+)+)"  # a text over several lines, as YAML has it
)
# In quotes, as b'x' too; in brackets, as in Some("x"); or bare.
_VALUE = (
    rf"{_FOLDED}|[bruf]{{0,2}}+(?:{_QUOTED})|(?>(?:[\w.*&$@]{{0,40}}+{_bracketed()})+)(?>{_BARE}*)"
    rf"|(?>(?:(?:bearer|basic)\s{{1,3}})?)(?>{_BARE}+)"
)
# Both have the groups `name` and `value`.
ASSIGNED = re.compile(rf"(?<![\w.-])(?=[\w.-]*?{_WORDS})(?P<name>[\w.-]++){_SIGN}(?P<value>{_VALUE})")
ELEMENT = re.compile(rf"<(?=[\w:.-]*?{_WORDS})(?P<name>[\w:.-]++)(?:\s[^<>]*+)?>(?P<value>[^<>]++)(?=</)")

_ENDS = ").,:;!?] \t\n"
_SWITCHES = ["true", "false", "yes", "no", "on", "off", "null", "none", "nil", "undefined"]
_NOTHING = frozenset(["", "–", "-", "…", REDACTED, *_SWITCHES])
_COUNT = re.compile(r"\d{1,6}(?:\.\d+)?(?:%|[kmg]?b|[kmsdh]|ms|min)?")
_FIGURE = re.compile(r"[~≈<>+-]?\d[\d.,_]{0,20}+\s?(?:%|[kmb]|(?:tok(?:ens)?)?/\w{1,6})?", re.IGNORECASE)
_FIGURES = re.compile(
    r"(?>(?:[\w./@-]{1,40}+\s{0,3}[:=]|\\*[\"'][^\"'\\\n]{1,40}\\*[\"']\s{0,3}:"
    r"|(?:\d[\d._]*+|true|false|null|none)(?![\w])|[\s,\[\](){}+-])*)",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"tokens|token[_-]?(?:count|usage|limit|total|budget)")
_PASSWORD = re.compile(r"(?<!by)pass|pwd")
_OPENED = re.compile(r"[bruf]{0,2}(\\*[\"'`])", re.IGNORECASE)
_MAY_OPEN = frozenset("\\\"'`brufBRUF")
_BRACKETS = {"[": "]", "{": "}", "(": ")"}


def names_secret(name: str) -> bool:
    """Whether a key of data says that its value is a secret."""
    return _NAME.search(name.lower()) is not None


def names_password(name: str) -> bool:
    """Whether even a number under that name is a secret."""
    return _PASSWORD.search(name.lower()) is not None


def names_count(name: str) -> bool:
    """Whether a name speaks of tokens that are counted, as `completion_tokens` does."""
    return _COUNTED.search(name.lower()) is not None


def harmless(name: str, value: str) -> bool:
    """Whether a value is no secret although its name speaks of one: a count, a switch, nothing.

    A number is one under a name of passwords, but for `pass: 3`; under a name of tokens it may be of any length.
    """
    value = value.lower().strip(_ENDS)
    if value in _NOTHING or not value.strip("*"):
        return True
    if value[0] not in "0123456789~≈<>+-":
        return False
    name = name.lower()
    if names_password(name):
        return name == "pass" and len(value) <= 3 and value.isdigit()
    return (_FIGURE if names_count(name) else _COUNT).fullmatch(value) is not None


def replaced(name: str, value: str) -> str | None:
    """What stands in the place of an assigned value: its quotes or brackets stay. None where it is harmless."""
    first, end = value[0], _BRACKETS.get(value[0], "")
    if first in _MAY_OPEN and (opened := _OPENED.match(value)):
        end = opened[1] if value.endswith(opened[1], opened.end()) else ""
        inner = value[opened.end() : len(value) - len(end)]
        return None if harmless(name, inner) else f"{opened[0]}{REDACTED}{end}"
    if end and value.endswith(end):
        inner = value[1:-1]
        counted = not names_password(name) and _FIGURES.fullmatch(inner)
        return None if counted or harmless(name, inner) else f"{first}{REDACTED}{end}"
    return None if harmless(name, value) else REDACTED


# -- what gives itself away -----------------------------------------------------------------------------------

_OF_KEY = r" [a-z ]{0,40}private key(?: block)?-----"
_USER = r"[^/:@\s'\"<>]{0,256}+"
_UP_TO_AT = r"(?>(?:(?>(?:[^@:\s'\"<>]++|:(?!//))*)@)+)"
_OPTIONS = r"\s[^\n|;&]{0,100}?(?<=\s)"  # what a command line may hold before the option that is meant
# What no sign announces: options of well-known programs, statements, and a value that plainly is no word.
_SAID: tuple[tuple[tuple[str, ...], str], ...] = (
    (("mysql", "mariadb"), rf"((?:mysql|mariadb)[a-z-]{{0,20}}{_OPTIONS}-p)[^\s\"'‹]{{4,}}+"),
    (("dis-cli", "key-cli"), rf"((?:redis|valkey)-cli{_OPTIONS}-a\s{{1,3}}+[\"']?)(?!‹)[^\s\"']++"),
    (
        ("curl",),
        rf"(curl{_OPTIONS}(?:-u|--user|--proxy-user)[\s=]{{1,3}}+[\"']?[^\s:\"']{{1,60}}+:)(?!‹)[^\s\"']++",
    ),
    (("sshpass",), r"(sshpass\s{1,3}+-p\s{0,3}+[\"']?)(?!‹)[^\s\"']++"),
    (
        (" login",),
        rf"((?:docker|podman|registry|skopeo|buildah)\slogin{_OPTIONS}-p\s{{1,3}}+[\"']?)(?!‹)[^\s\"']++",
    ),
    (
        ("identified",),
        r"(identified\s{1,3}+(?:with\s{1,3}\w{1,40}+\s{1,3})?by\s{1,3}+(?:password\s{1,3})?')(?!‹)[^'\n]++",
    ),
    (("setuser",), r"(setuser\s[^\n>]{1,200}+>)(?!‹)[^\s\"']++"),
    (("passwor", "passphrase"), r"((?:password|passphrase)\s{1,3}+)(?:'(?!‹)[^'\n]++'|\"(?!‹)[^\"\n]++\")"),
    (
        ("passwor", "passphrase", "passwd"),
        (
            r"((?:password|passphrase|passwd)\s{1,3}+)(?=[^\s\d]{0,60}+\d)(?=[^\sa-z]{0,60}+[a-z])"
            r"[^\s\"'`‹()<>:;,=]{6,}+(?![:=])"
        ),
    ),
    (
        ("token", "secret", "key"),
        r"((?:token|secret|api[ _-]?key)\s{1,3}+)(?=[a-z+/_]{0,60}+\d)[a-z0-9+/=_]{20,}+",
    ),
    (("private-lines",), r"(private-lines:\s{0,3}\d{1,4}+\r?\n)(?>(?:[a-z0-9+/=]++\r?\n)+)"),
)
# Each stands beside small letters of which a text holds some where it may match. What group 1 matches is kept.
_LOWER: tuple[tuple[tuple[str, ...], str], ...] = (
    # Without an end it goes up to the end of the text.
    (
        ("-----begin",),
        rf"()-----begin{_OF_KEY}(?>(?:[^-]++|-(?!----end{_OF_KEY}))*)(?>(?:-----end{_OF_KEY})?)",
    ),
    (
        ("authoriz",),
        r"(authorization[\"'\\]{0,4}+\s{0,3}+[:=]\s{0,3}+[\"'\\]{0,4}+(?>(?:[a-z][\w-]{0,20}\s{1,3})?))(?!‹)[^\s\"']{4,}+",
    ),
    # Whole headers, for the second of several is as secret as the first.
    (
        ("cookie",),
        r"(cookie[\"'`\\]{0,4}\s{0,3}[:=]\s{0,3}[\"'`\\\[]{0,4}[\w.$%~-]{1,100}+=)(?>(?:=\"[^\"\n]*+|[^\n\"'`\\])+)",
    ),
    (("bearer",), r"(bearer(?<!\wbearer)\s{1,3})(?=[^\s\"'\d]{0,200}\d)[\w.~+/=-]{8,}+"),
    # Base64 is told from words by digits and by how it is filled up; what has neither, by capitals within (below).
    (
        ("basic",),
        (
            r"(basic(?<!\wbasic)\s{1,3}+)(?=[a-z0-9+/]{0,200}?(?:\d|={1,2}(?!\w)))(?=\d{0,200}+[a-z+/])"
            r"[a-z0-9+/]{8,}+={0,2}+(?![\w-])"
        ),
    ),
    (
        ("--pass", "-pass", "-token", "-secret", "-api-key"),
        (
            r"(-(?<![\w-]-)-?(?:password|passwd|pass|token|secret|api-key)[ =]++)(?!‹)"
            r"(?:\"[^\"\n]*+\"?|'[^'\n]*+'?|[^\s\"']++)"
        ),
    ),
    (
        ("requirepass", "masterauth"),
        # On the next line only where it stands alone there, as in an answer of Redis's own client.
        (
            r"(?m)((?:requirepass|masterauth)[\"']?"
            r"(?:[^\S\n]{1,3}|\s{0,2}\n\s{0,2}(?:\d{1,3}\)\s)?(?=\S{1,500}$))[\"']?)[^\s\"']++"
        ),
    ),
    (("auth ",), r"(?m)(^\s{0,8}auth\s{1,3})[^\s\"']{4,500}+$"),
    (("auth ",), r"(?m)(^\s{0,8}auth\s{1,3}[\w.-]{1,60}+\s{1,3})(?=[^\s\d]{0,60}+\d)[^\s\"'‹]{4,500}+$"),
    (
        ("passwor", "passphrase", "passwd", "token"),
        r"((?:password|passphrase|passwd|token)\s{1,3}is\s{1,3})(?=[^\s\d!#$%^*]{0,100}+[\d!#$%^*])[^\s]{6,}+",
    ),
    *_SAID,
    # Up to the last @ of a URL, but not into the next one. `host:80/a@b` of the web is a port and a path; of a
    # database it is a password with a slash.
    (("://",), rf"(://(?<!http://)(?<!https://)){_USER}:{_UP_TO_AT}"),
    (("://",), rf"(://){_USER}:(?!\d{{1,5}}(?:[/?#]|$)){_UP_TO_AT}"),
    (("://",), r"(://)[^/:@\s'\"<>]{20,}+@"),
    (("hooks.slack.com",), r"(hooks\.slack\.com/(?:services|workflows)/)[\w/]{8,}+"),
)
# Here, too, what group 1 matches is kept, where there is one.
_CASED: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("basic",),
        (
            r"(asic(?<=[Bb]asic)(?<!\w.asic)\s{1,3}+)(?=[A-Za-z0-9+/]{0,200}?[a-z][A-Z])"
            r"(?>(?:[A-Za-z0-9+/]{4}){2,})(?![\w+/=-])"
        ),
    ),
    (("akia", "asia"), r"A(?:KIA|SIA)(?<!\w.{4})[0-9A-Z]{16}\b"),
    (("eyj",), r"eyJ(?<![\w-]...)[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+){0,3}"),
    (("xox",), r"xox[abeoprs]-[\w-]{8,}+"),
    (("xapp-",), r"xapp-[\w-]{8,}+"),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_(?<!\w.{4})[A-Za-z0-9]{20,}+"),
    (("github_pat_",), r"github_pat_\w{20,}+"),
    (("glpat-",), r"glpat-[\w-]{16,}+"),
    (("sk-",), r"sk-(?<![\w-]...)[\w-]{16,}+"),
    (("k_live_", "k_test_"), r"[sr]k_(?:live|test)_(?<!\w.{8})\w{10,}+"),
    (("aiza",), r"AIza[\w-]{30,}+"),
    (("syt_",), r"syt_\w{8,}+"),
)
LOWER = tuple((hints, re.compile(pattern)) for hints, pattern in _LOWER)
CASED = tuple((hints, re.compile(pattern)) for hints, pattern in _CASED)
# A text without any of these holds nothing to be found; those that hold a shorter one are left out.
HINTS = tuple(
    hint
    for hint in dict.fromkeys([*WORD_HINTS, *(h for hints, _ in (*LOWER, *CASED) for h in hints)])
    if not any(other != hint and other in hint for other in WORD_HINTS)
)
