"""Made-up people whose names and numbers must come out nowhere, and the search for them in whatever bytes.

In: nothing. Out: PEOPLE, to be put into sources; `found(data)`, which says what of whom is in bytes, in which form.

A value is looked for as text (UTF-8, Latin-1, UTF-16 in both orders; any case; a number also without its separators),
escaped (JSON, URL, HL7, HTML), in hex, in base64 at every offset, and as plain SHA-256, SHA-1 and MD5: a digest without
a key is no protection for a number of ten digits.
"""

import base64
import collections
import hashlib
import html
import re
import urllib.parse

Person = collections.namedtuple("Person", "number family given street town phone mail visit")

# Nobody's: such names, streets and numbers are not given. Long enough to stand in no file by chance.
PEOPLE = [
    Person("19430719-2386", "Örnqvist-Plååtz", "Zäzilie", "Vresbokvägen 4711B", "Hjulsbröröd", "0799-4407211",
           "zazilie.ornqvist@canary.example", "VX7731904416"),
    Person("197812249985", "BRÄNDSTRÖMSKI", "Quintus", "Långnäbbsgränd 9", "Ytterölanda", "+46799550033",
           "quintus.b@canary.example", "880077123459"),
    Person("610230+1177", "Wolframsdotter", "Öyvor", "Näktergalsstråket 31", "Kvisselbyviken", "(0799) 12 34 987",
           "oyvor@canary.example", "W-55120987-Q"),
]


def values():
    """Every value that is looked for, and what it is."""
    for person in PEOPLE:
        for kind, value in person._asdict().items():
            yield value, f"{kind} of {person.given}"


def texts(value):
    """A value as people and systems write it. ASCII letters are compared without their case."""
    written = {value, value.upper(), value.lower(), value.title()}
    bare = re.sub(r"[^\w]", "", value)
    if sum(c.isdigit() for c in bare) >= 7:
        written |= {bare, bare.lower()}
        if len(bare) == 12 and bare.isdigit():
            # A personal number without its century.
            written |= {bare[2:], f"{bare[2:8]}-{bare[8:]}"}
    return written


def forms(value):
    """(form, bytes in lower case as far as ASCII goes) of one value."""
    for text in texts(value):
        for name in ["utf-8", "latin-1", "utf-16-le", "utf-16-be"]:
            yield name, text.encode(name)
        yield "JSON", text.encode("ascii", "backslashreplace").replace(b"\\x", b"\\u00")
        yield "URL", urllib.parse.quote(text).encode()
        yield "HTML", html.escape(text).encode("ascii", "xmlcharrefreplace")
        for name in ["utf-8", "latin-1"]:
            raw = text.encode(name)
            yield "HL7", b"".join(b"\\x%02x\\" % b if b > 127 else bytes([b]) for b in raw)
            yield "hex", raw.hex().encode()
            yield "SHA-256", hashlib.sha256(raw).digest()[:8]
            yield "SHA-256 in hex", hashlib.sha256(raw).hexdigest()[:16].encode()
            yield "SHA-1", hashlib.sha1(raw).digest()[:8]
            yield "SHA-1 in hex", hashlib.sha1(raw).hexdigest()[:16].encode()
            yield "MD5", hashlib.md5(raw).digest()[:8]
            yield "MD5 in hex", hashlib.md5(raw).hexdigest()[:16].encode()


def in_base64(value):
    """What base64 of anything around the value holds: the characters that only the value decides."""
    for text in texts(value):
        for name in ["utf-8", "latin-1"]:
            raw = text.encode(name)
            for before in range(3):
                encoded = base64.b64encode(b"\0" * before + raw).rstrip(b"=")
                first = -(-before * 8 // 6)
                last = (before + len(raw)) * 8 // 6
                inner = encoded[first:last]
                if len(inner) >= 10:
                    yield inner
                    yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def needles():
    folded, exact = {}, {}
    for value, what in values():
        for form, needle in forms(value):
            folded.setdefault(needle.lower(), f"{what} ({form})")
        for needle in in_base64(value):
            exact.setdefault(needle, f"{what} (base64)")
    return folded, exact


FOLDED, EXACT = needles()


def found(data):
    """What of whom is in these bytes, and where."""
    folded = data.lower()
    seen = [(what, folded.find(needle)) for needle, what in FOLDED.items()]
    seen += [(what, data.find(needle)) for needle, what in EXACT.items()]
    return [f"{what} at byte {at}" for what, at in seen if at >= 0]


def planted(value):
    """The value in every form that is looked for, each in bytes of its own."""
    return [needle for _, needle in forms(value)] + list(in_base64(value))
