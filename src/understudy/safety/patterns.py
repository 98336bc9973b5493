"""What personal data and secrets look like: one detector per kind, with checksums.

Owns the shapes. Does not own what replaces them (`pii`) nor whose names are known (`roster`).

A stream's chat is full of numbers, so every detector prefers silence to a false alarm: a bare run
of digits is a phone number only next to a word such as "call", a card only when Luhn agrees, an
address only with the name of a street. Detectors see text without placeholders and must not look
beyond what they are given; a bracket counts as the edge of the text.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from understudy.safety.words import common_words

Span = tuple[int, int]
Detector = Callable[[str], Iterator[Span]]


def luhn(digits: str) -> bool:
    """Whether the last digit of `digits` is the Luhn checksum of the others (ISO/IEC 7812-1)."""
    doubled = [int(digit) * 2 for digit in digits[-2::-2]]
    plain = sum(map(int, digits[-1::-2]))
    return (plain + sum(value - 9 if value > 9 else value for value in doubled)) % 10 == 0


def iban_valid(iban: str) -> bool:
    """Whether the check digits of `iban`, upper case without spaces, are right (ISO 13616)."""
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1


def _all(pattern: re.Pattern[str]) -> Detector:
    def detect(text: str) -> Iterator[Span]:
        return (match.span() for match in pattern.finditer(text))

    return detect


def _checked(pattern: re.Pattern[str], holds: Callable[[re.Match[str]], bool]) -> Detector:
    def detect(text: str) -> Iterator[Span]:
        return (match.span() for match in pattern.finditer(text) if holds(match))

    return detect


def _digits(text: str) -> str:
    return "".join(char for char in text if "0" <= char <= "9")


_URL_WITH_PASSWORD = re.compile(
    r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{1,15}://[^\s/@\[\]]{1,200}@[^\s\[\]]+", re.IGNORECASE
)

_KEY = re.compile(
    r"""(?<![A-Za-z0-9_])(?:
      sk-[A-Za-z0-9_-]{16,}                        # OpenAI, Anthropic
    | [srp]k_(?:live|test)_[A-Za-z0-9]{10,}        # Stripe
    | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{16,}
    | xox[a-z]-[\w-]{10,} | xapp-[\w-]{10,}        # Slack
    | A[KS]IA[0-9A-Z]{16}                          # AWS
    | AIza[\w-]{30,} | ya29\.[\w-]{20,}            # Google
    | hf_[A-Za-z0-9]{20,} | npm_[A-Za-z0-9]{30,} | pypi-[\w-]{30,}
    | live_\d+_[A-Za-z0-9]{16,}                    # Twitch stream key
    | mfa\.[\w-]{20,} | [A-Za-z\d_-]{23,28}\.[\w-]{6}\.[\w-]{27,}   # Discord
    | \d{8,10}:[A-Za-z0-9_-]{35}                   # Telegram
    | eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?         # JWT
    | (?i:bearer)\s+[\w.~+/=-]{16,}
    | (?i:oauth):[a-z0-9]{16,}
    | (?i:https?://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/)[\w/-]+
    | -----BEGIN\s[A-Z ]*PRIVATE\sKEY-----[\w\s+/=:,-]*
    )""",
    re.VERBOSE,
)
_ASSIGNED = re.compile(
    r"(?<![A-Za-z0-9])(?:password|passwort|passwd|pwd|api[_ -]?key|client[_ -]?secret|secret"
    r"|(?:access|auth|refresh)?[_-]?token)\s{0,3}(?:=|:|\bis\b|\bist\b)\s{0,3}"
    r"[\"']?([^\s\"'\[\]&,;]{6,})",
    re.IGNORECASE,
)
_LONG_TOKEN = re.compile(r"(?<![^\s\"'(=:,;<>\[\]{}])[A-Za-z0-9_+][A-Za-z0-9_+/=-]{23,}")
_HEX = re.compile(r"[0-9a-fA-F]{32,}\Z")


def _assigned(text: str) -> Iterator[Span]:
    """The value after "password:" and the like, where it is no plain word."""
    return (
        match.span(1) for match in _ASSIGNED.finditer(text) if not match[1].rstrip(".!?)").isalpha()
    )


def _looks_random(match: re.Match[str]) -> bool:
    """Random characters change between capitals, small letters and digits all the time."""
    token = match[0].rstrip("=")
    if _HEX.match(token):
        return len(set(token)) >= 8 and not token.isdecimal() and not token.isalpha()
    classes = [0 if char.isdecimal() else 1 if char.islower() else 2 for char in token]
    changes = sum(left != right for left, right in pairwise(classes))
    return 0 in classes and len(set(token)) >= 12 and changes >= 0.3 * len(token)


_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%-]{1,64}[@\uff20][\w-]{1,63}(?:\.[\w-]{1,63}){0,5}\.[^\W\d_]{2,24}(?![\w-])"
)
_AT = r"(?:\s*[(\[{]\s*(?:at|ät|@)\s*[)\]}]\s*|\s+(?:at|ät|@)\s+)"
_DOT = r"(?:\s*[(\[{]\s*(?:dot|punkt|\.)\s*[)\]}]\s*|\s+(?:dot|punkt)\s+|\s?\.\s?)"
_SPELLED_EMAIL = re.compile(
    rf"(?<![\w.+%-])([\w.+%-]{{1,64}})({_AT})([\w-]{{1,63}})"
    rf"((?:{_DOT}[\w-]{{2,24}}){{1,3}})(?![\w-])",
    re.IGNORECASE,
)
_MAIL_HOST_NAMES = (
    "gmail googlemail outlook hotmail yahoo proton protonmail gmx web icloud aol mail email live "
    "msn zoho yandex posteo tutanota fastmail hey"
)
_MAIL_HOSTS = frozenset(_MAIL_HOST_NAMES.split())


def _spelled_email(match: re.Match[str]) -> bool:
    """Between plain words "at" and "." are prose, unless the host or the name says otherwise."""
    local, at, host, rest = match.groups()
    if "@" in at or at.strip()[0] in "([{":
        return True
    if host.casefold() in _MAIL_HOSTS:
        return True
    spelled_dot = re.search(r"dot|punkt", rest, re.IGNORECASE) is not None
    return spelled_dot and local.casefold() not in common_words()


_CARD = re.compile(
    r"(?<![\w.+-])(?:\d{13,19}|\d{3,6}(?:(?:[ .]|\s?-\s?)\d{2,7}){2,4})(?![\w]|[.,]\d)"
)


def _card(match: re.Match[str]) -> bool:
    digits = _digits(match[0])
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    # Thirteen digits that begin with 1 are milliseconds since 1970.
    is_time = len(digits) == 13 and digits[0] == "1" and match[0].isdecimal()
    return not is_time and luhn(digits)


_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_IBAN_COUNTRIES = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 "
    "DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 "
    "IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 "
    "MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 "
    "SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
_IBAN_LENGTHS = {code[:2]: int(code[2:]) for code in _IBAN_COUNTRIES.split()}


def _iban(text: str) -> Iterator[Span]:
    """The match may run into the next words: the country says where the number ends."""
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper())
        places = [i for i, char in enumerate(match[0]) if char.isalnum()]
        if length is None or len(places) < length:
            continue
        end = places[length - 1] + 1
        number = "".join(char for char in match[0][:end] if char.isalnum()).upper()
        following = text[match.start() + end : match.start() + end + 1]
        if not following.isalnum() and iban_valid(number):
            yield match.start(), match.start() + end


_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_MAC = re.compile(
    r"(?<![\w:-])(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}"
    r"|(?=[\d-]*[A-Fa-f])[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5})(?![\w:-])"
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?::\d{{2,5}}|/\d\d?)?(?![\w]|\.\w)")
_VERSION_BEFORE = re.compile(
    r"(?:versions?|ver|v|patch|build|update|firmware|driver|release)[ .:]{0,2}\Z", re.IGNORECASE
)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")


def _ipv4(match: re.Match[str]) -> bool:
    return not _VERSION_BEFORE.search(_before(match, 12))


def _ipv6(match: re.Match[str]) -> bool:
    """Long enough not to be a time or `std::cout`, and an address to the standard library."""
    groups = [group for group in match[0].split(":") if group]
    if len(groups) < 2 or not any(map(str.isdecimal, match[0])):
        return False
    if len(groups) == 2 and len(groups[0]) < 4:
        return False
    try:
        ipaddress.IPv6Address(match[0])
    except ValueError:
        return False
    return True


def _before(match: re.Match[str], width: int) -> str:
    """Up to `width` characters before the match, never across a bracket."""
    before = match.string[max(0, match.start() - width) : match.start()]
    return re.split(r"[\[\]]", before)[-1]


_PHONE = re.compile(
    r"""(?<![\w.,:/$€£+#-])(?:
      (?P<world>(?:\+|00)\s?[1-9]\d{0,3}(?:[\s./-]{0,2}\(?\d{1,12}\)?){1,6})
    | (?P<america>(?:1[\s.-])?(?:\(\d{3}\)\s?|[2-9]\d\d[.-])[2-9]\d\d[\s.-]\d{4})
    | (?P<trunk>\(?0\d{1,5}\)?(?:[\s./-]{1,2}\d{2,8}){1,5}|0[1-9]\d{8,10})
    | (?P<bare>\d{3,15}(?:[\s./-]\d{2,10}){0,4})
    )(?![\w%€$£]|[.,:]\d)""",
    re.VERBOSE,
)
_PHONE_WORD = re.compile(
    r"(?:call|phone|tel|telefon|mobile|cell|whatsapp|signal|telegram|sms|handy|handynummer|"
    r"phone\s?number|my\s(?:\w+\s)?number|text\sme|ruf\s\w+\san|(?:meine|telefon)\s?nummer|"
    r"call\sme|dial)\W{0,3}(?:(?:is|ist|me|at|on|under|unter|no|nr)\W{1,3}){0,3}\Z",
    re.IGNORECASE,
)


def _phone(match: re.Match[str]) -> bool:
    digits = _digits(match[0])
    form = match.lastgroup
    if form == "world":
        compact = not re.search(r"[\s./()-]", match[0])
        return (10 if compact else 9) <= len(digits) <= 17 and not digits.endswith("00000")
    if form == "trunk":
        return 9 <= len(digits) <= 13 and digits not in "0123456789012"
    if form == "bare":
        return 7 <= len(digits) <= 15 and _PHONE_WORD.search(_before(match, 40)) is not None
    return True


_STREET = r"(?:street|avenue|boulevard|road|lane|drive|terrace|parkway|highway|crescent)"
_STREET_SHORT = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq"
    "|Terrace|Way|Parkway|Pkwy|Highway|Hwy|Circle|Close|Crescent"
)
_REST_OF_ADDRESS = (
    r"(?:,?\s+(?:[Aa]pt|[Uu]nit|[Ss]uite|[Ff]lat)\.?\s*\#?\w{1,5})?"
    r"(?:,\s*[A-Z][^\W\d_]+(?:\s[A-Z][^\W\d_]+)?(?:,?\s+[A-Z]{2})?(?:\s+\d{5}(?:-\d{4})?)?)?"
)
_ADDRESS = re.compile(
    rf"(?<![\w.,:$€£#-])\d{{1,5}}[A-Za-z]?\s+(?:"
    rf"(?:[A-Z0-9][\w'.-]*\s+){{1,3}}(?:{_STREET_SHORT})\b\.?{_REST_OF_ADDRESS}"
    rf"|(?P<names>(?:[^\W\d_]+\s+){{1,2}})(?i:{_STREET})\b{_REST_OF_ADDRESS})"
)
_HOME_BEFORE = re.compile(
    r"(?:liv(?:e|es|ing)|address|located|house|home|reside)\W{1,3}(?:is|at|in|on|\W){0,3}\Z",
    re.IGNORECASE,
)
_STRASSE = re.compile(
    r"(?<![\w-])(?:(?:[^\W\d_]+[ -])?[^\W\d_]*(?i:stra(?:ß|ss)e|str\.)"
    r"|[A-ZÄÖÜ][^\W\d_]{2,}(?:gasse|allee|weg|chaussee)"
    r"|[A-ZÄÖÜ][^\W\d_]{2,}(?:platz|ring|damm|ufer)(?=\s*\d{1,4}\s?[a-z]?,?\s+\d{5}\b))"
    r"\s*\d{1,4}(?:\s?[a-z])?\b(?:,?\s+\d{5}\b(?:\s+[A-ZÄÖÜ][^\W\d_]+)?)?"
)


def _address(match: re.Match[str]) -> bool:
    """Written small, a street must have a name that is no everyday word ("2 side road")."""
    names = match["names"]
    if not names or _HOME_BEFORE.search(_before(match, 24)):
        return True
    return not any(name.casefold() in common_words() for name in names.split())


_HANDLE = re.compile(r"(?<![\w#/.])[^\W_][\w.]{1,31}#\d{4,5}(?!\w)")
_INVITE = re.compile(
    r"(?<![\w.-])(?:https?://)?(?:www\.)?discord(?:\.gg|(?:app)?\.com/invite)/[\w-]+", re.IGNORECASE
)
_WALLET = re.compile(r"(?<!\w)(?:bc1[a-z0-9]{25,60}|0x[0-9a-fA-F]{40})(?!\w)")

DETECTORS: tuple[tuple[str, Detector], ...] = (
    ("url", _all(_URL_WITH_PASSWORD)),
    ("key", _all(_KEY)),
    ("key", _assigned),
    ("email", _all(_EMAIL)),
    ("email", _checked(_SPELLED_EMAIL, _spelled_email)),
    ("invite", _all(_INVITE)),
    ("wallet", _all(_WALLET)),
    ("iban", _iban),
    ("card", _checked(_CARD, _card)),
    ("key", _checked(_LONG_TOKEN, _looks_random)),
    ("ssn", _all(_SSN)),
    ("mac", _all(_MAC)),
    ("ip", _checked(_IPV4, _ipv4)),
    ("ip", _checked(_IPV6, _ipv6)),
    ("phone", _checked(_PHONE, _phone)),
    ("address", _all(_STRASSE)),
    ("address", _checked(_ADDRESS, _address)),
    ("handle", _all(_HANDLE)),
)
"""All detectors; where two find overlapping spans, the earlier one is right."""

KINDS: tuple[str, ...] = tuple(dict.fromkeys(kind for kind, _ in DETECTORS))

_DIGIT = re.compile(r"\d")
_MANY_DIGITS = 7
_LONG_WORD = 16
_SHORT_DIGIT_SHAPE = re.compile(r"\d\.\d{1,3}\.\d|#\d{4}|[A-Za-z]{2}\d\d")
_AT_WORD = re.compile(r"(?<![^\W_])(?:at|ät)(?![^\W_])")
_AT_THEN_DOT = re.compile(rf"{_AT}[\w-]+{_DOT}")
_MANY_COLONS = re.compile(r"(?:[:-][0-9A-Fa-f]{0,4}){2}")
_STRASSE_ENDS = r"(?:gasse|allee|weg|chaussee|platz|ring|damm|ufer|str(?:a(?:ß|ss)e|\.))"
_STREETISH = re.compile(rf"\b(?:{_STREET_SHORT})\b|{_STRASSE_ENDS}", re.IGNORECASE)
_NUMBERED_STREET = re.compile(
    rf"{_STRASSE_ENDS}\s*\d|\d[a-z]?\s+(?:[\w'.-]+\s+){{1,3}}(?:{_STREET_SHORT})\b", re.IGNORECASE
)
_ASSIGNED_NAMES = ("pass", "pwd", "secret", "token", "key")
_ALARMS = ("discord", "private")

ALONE, DIGITS, WITH_DIGITS, AT = 64, 128, 256, 512
"""What a word contributes to a suspicion, as bits beside those of `blocklist`: enough by itself;
digits; a shape that counts next to digits; the "at" of a spelled out address."""


def hints(word: str) -> int:
    """What `word`, a text without white space, contributes to a suspicion: the bits above."""
    lowered = word.lower()
    found = 0
    if "@" in word or "\uff20" in word or len(lowered) >= _LONG_WORD:
        found |= ALONE
    if any(needle in lowered for needle in _ASSIGNED_NAMES + _ALARMS):
        found |= ALONE
    if _DIGIT.search(word):
        found |= DIGITS
    if any(shape.search(word) for shape in (_MANY_COLONS, _STREETISH, _SHORT_DIGIT_SHAPE)):
        found |= WITH_DIGITS
    return found | AT if _AT_WORD.search(lowered) else found


def hinted(text: str, hints: int) -> bool:
    """Whether `text`, whose words have these `hints`, could be suspicious; never wrongly False."""
    if hints & ALONE or (hints & AT and _AT_THEN_DOT.search(text.lower())):
        return True
    if not hints & DIGITS:
        return False
    return hints & WITH_DIGITS != 0 or len(_DIGIT.findall(text)) >= _MANY_DIGITS


def suspicious(text: str) -> bool:
    """Whether any detector could find something: cheap, and never wrongly False."""
    if "@" in text or "\uff20" in text:
        return True
    if _DIGIT.search(text) and _suspicious_digits(text):
        return True
    lowered = text.lower()
    if any(alarm in lowered for alarm in _ALARMS):
        return True
    if max(map(len, lowered.split()), default=0) >= _LONG_WORD:
        return True
    if any(name in lowered for name in _ASSIGNED_NAMES) and any(_assigned(text)):
        return True
    spelled = ("at" in lowered or "ät" in lowered) and _AT_THEN_DOT.search(lowered)
    return bool(spelled) and any(map(_spelled_email, _SPELLED_EMAIL.finditer(text)))


def _suspicious_digits(text: str) -> bool:
    if len(_DIGIT.findall(text)) >= _MANY_DIGITS or _MANY_COLONS.search(text):
        return True
    if _SHORT_DIGIT_SHAPE.search(text):
        return True
    return _STREETISH.search(text) is not None and _NUMBERED_STREET.search(text) is not None
