"""Values as SQL Server sends them (MS-TDS 2.2.5.5): a type by its T-SQL name, its description before the rows, its bytes in a row.

Tokens that only need bytes (COLMETADATA, ROW, DONE, ERROR, ENVCHANGE) stand here as well.
"""

import datetime
import decimal
import re
import struct
import uuid

COLLATION = bytes([0x09, 0x04, 0xD0, 0x00, 0x34])  # SQL_Latin1_General_CP1_CI_AS
CODE_PAGE = "cp1252"
EPOCH = datetime.datetime(1900, 1, 1)
NULLABLE = 0x0009
LONG = 0xFFFF


def counted(text, form="B"):
    """A text with the number of its characters before it."""
    return struct.pack(f"<{form}", len(text)) + text.encode("utf-16-le")


class Type:
    """A T-SQL type: `info` is its TYPE_INFO, `put` gives the bytes of a value that is not NULL, `null` those of NULL."""

    def __init__(self, info, put, null=b"\x00"):
        self.info, self.put, self.null = info, put, null

    def bytes(self, value):
        return self.null if value is None else self.put(value)


def short(put):
    """A value with one byte of length."""

    def whole(value):
        data = put(value)
        return bytes([len(data)]) + data

    return whole


def integer(size, signed=True):
    def put(value):
        try:
            return int(value).to_bytes(size, "little", signed=signed)
        except ValueError:
            raise ValueError(value) from None  # SQL Server quotes it

    return Type(bytes([0x26, size]), short(put))


def numeric(precision, scale):
    def put(value):
        with decimal.localcontext(prec=60):
            scaled = int(decimal.Decimal(str(value)).scaleb(scale).to_integral_value())
        return bytes([scaled >= 0]) + abs(scaled).to_bytes(size, "little")

    size = 4 if precision <= 9 else 8 if precision <= 19 else 12 if precision <= 28 else 16
    return Type(bytes([0x6C, size + 1, precision, scale]), short(put))


def characters(kind, length, encoding, pad=False):
    """`length` in characters; none is (max), which comes in chunks."""
    width = 2 if encoding == "utf-16-le" else 1

    def put(value):
        data = (str(value).ljust(length) if pad else str(value)).encode(encoding)
        if length is None:
            chunks = struct.pack("<I", len(data)) + data if data else b""
            return struct.pack("<Q", len(data)) + chunks + struct.pack("<I", 0)
        return struct.pack("<H", len(data)) + data

    info = bytes([kind]) + struct.pack("<H", LONG if length is None else length * width) + COLLATION
    return Type(info, put, b"\xff" * (8 if length is None else 2))


def moment(value):
    if isinstance(value, datetime.datetime):
        return value
    text = re.sub(r"(\.\d{6})\d", r"\1", str(value))
    return datetime.datetime.fromisoformat(text)


def day_number(value):
    return value.toordinal() - 1


def ticks(value):
    """Since midnight, in 10^-7 s."""
    return (((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond) * 10


def old_datetime(value):
    since = moment(value) - EPOCH
    fragments = round((since.seconds + since.microseconds / 1e6) * 300)
    return struct.pack("<iI", since.days, fragments)


def small_datetime(value):
    since = moment(value) - EPOCH
    return struct.pack("<HH", since.days, since.seconds // 60)


def datetime2(value):
    at = moment(value)
    return ticks(at).to_bytes(5, "little") + day_number(at).to_bytes(3, "little")


def datetimeoffset(value):
    at = moment(value)
    offset = int(at.utcoffset().total_seconds() // 60)
    utc = at.astimezone(datetime.timezone.utc)
    return ticks(utc).to_bytes(5, "little") + day_number(utc).to_bytes(3, "little") + struct.pack("<h", offset)


def money(value):
    return struct.pack("<iI", *divmod(int(decimal.Decimal(str(value)) * 10000), 1 << 32))


def sized(name, first, second):
    """The types that have a size of their own."""
    if name in ("decimal", "numeric"):
        return numeric(int(first or 18), int(second or 0))
    length = None if first == "max" else int(first or 30)
    return {
        "varchar": lambda: characters(0xA7, length, CODE_PAGE),
        "nvarchar": lambda: characters(0xE7, length, "utf-16-le"),
        "char": lambda: characters(0xAF, length, CODE_PAGE, pad=True),
        "nchar": lambda: characters(0xEF, length, "utf-16-le", pad=True),
        "varbinary": lambda: Type(b"\xa5" + struct.pack("<H", length), lambda v: struct.pack("<H", len(v)) + v, b"\xff\xff"),
    }[name]()


PLAIN = {
    "tinyint": integer(1, signed=False),
    "smallint": integer(2),
    "int": integer(4),
    "integer": integer(4),
    "bigint": integer(8),
    "bit": Type(bytes([0x68, 1]), short(lambda value: bytes([bool(int(value))]))),
    "float": Type(bytes([0x6D, 8]), short(lambda value: struct.pack("<d", float(value)))),
    "real": Type(bytes([0x6D, 4]), short(lambda value: struct.pack("<f", float(value)))),
    "money": Type(bytes([0x6E, 8]), short(money)),
    "datetime": Type(bytes([0x6F, 8]), short(old_datetime)),
    "smalldatetime": Type(bytes([0x6F, 4]), short(small_datetime)),
    "date": Type(bytes([0x28]), short(lambda value: day_number(moment(value)).to_bytes(3, "little"))),
    "datetime2": Type(bytes([0x2A, 7]), short(datetime2)),
    "datetimeoffset": Type(bytes([0x2B, 7]), short(datetimeoffset)),
    "uniqueidentifier": Type(bytes([0x24, 16]), short(lambda value: uuid.UUID(str(value)).bytes_le)),
}


def named(text):
    """The type that T-SQL calls so."""
    name, first, second = re.fullmatch(r"(\w+)(?:\((\w+)(?:,\s*(\w+))?\))?", text.strip().lower()).groups()
    return PLAIN.get(name) or sized(name, first, second)


def of(value):
    """The type that SQL Server gives a constant like this."""
    if isinstance(value, int):
        return PLAIN["int" if -(1 << 31) <= value < 1 << 31 else "bigint"]
    if isinstance(value, float):
        return PLAIN["float"]
    if isinstance(value, bytes):
        return named("varbinary(8000)")
    return named("nvarchar(4000)")


# --- tokens (MS-TDS 2.2.7) --------------------------------------------------------------------------------------------------


def columns(names, types):
    """COLMETADATA."""
    heads = [struct.pack("<IH", 0, NULLABLE) + kind.info + counted(name) for name, kind in zip(names, types)]
    return b"\x81" + struct.pack("<H", len(heads)) + b"".join(heads)


def row(types, values):
    """ROW."""
    return b"\xd1" + b"".join(kind.bytes(value) for kind, value in zip(types, values))


def done(status=0x0000, command=0x0000, count=0):
    """DONE."""
    return b"\xfd" + struct.pack("<HHQ", status, command, count)


def message(token, number, severity, text):
    """ERROR (0xAA) or INFO (0xAB)."""
    body = struct.pack("<iBB", number, 1, severity) + counted(text, "H") + counted("TEST") + counted("") + struct.pack("<i", 1)
    return bytes([token]) + struct.pack("<H", len(body)) + body


def changed(kind, new, old=b"\x00"):
    """ENVCHANGE."""
    body = bytes([kind]) + new + old
    return b"\xe3" + struct.pack("<H", len(body)) + body
