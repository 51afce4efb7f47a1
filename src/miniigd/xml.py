"""The little XML that UPnP needs: escape text, and walk through the elements of a small document.

    element = open_element(data, skip_prolog(data))   # the root's start tag
    value = unescape(element_text(data, element))

Raises XMLError; any other exception is a bug. No entities but XML's own five and character references, no DOCTYPE.
"""

from .compat import const

_MAX_NAME = const(128)  # bytes of a tag's name with its prefix; UPnP's longest is 33
_MAX_ATTRIBUTES = const(512)  # bytes from a tag's name to its end; namespaces are the longest attributes met
_SPACE = b" \t\r\n"


class XMLError(Exception):
    """The document is not XML that UPnP allows; the first argument says where it broke."""


class Element:
    """A start tag: `name` without prefix, `tag` as written, `start` the offset behind it, `empty` for <name/>."""

    def __init__(self, name, tag, start, empty):
        self.name = name
        self.tag = tag
        self.start = start
        self.empty = empty


def escape(text):
    """Return `text` with the characters that XML reserves replaced."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if '"' in text:
        text = text.replace('"', "&quot;")
    return text


_ENTITIES = {b"lt": b"<", b"gt": b">", b"amp": b"&", b"quot": b'"', b"apos": b"'"}


def unescape(data):
    """Return the bytes that `data` stands for; an ampersand that starts no reference is kept (miniupnpc sends those)."""
    if b"&" not in data:
        return data
    pieces = data.split(b"&")
    out = [pieces[0]]
    for piece in pieces[1:]:
        name, semicolon, rest = piece.partition(b";")
        value = _reference(name) if semicolon else None
        if value is None:
            out.append(b"&" + piece)
        else:
            out.append(value + rest)
    return b"".join(out)


def _reference(name):
    if name in _ENTITIES:
        return _ENTITIES[name]
    if name[:1] != b"#" or len(name) > 8:
        return None
    digits, base = (name[2:], 16) if name[1:2] in (b"x", b"X") else (name[1:], 10)
    if digits.strip(b"0123456789abcdefABCDEF"):
        return None  # int() would take signs, blanks and _
    try:
        code = int(digits.decode(), base)
        return chr(code).encode() if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else None
    except ValueError:
        return None


def skip_space(data, position):
    """Return the offset of the next byte that is no white space."""
    end = len(data)
    while position < end and data[position] in _SPACE:
        position += 1
    return position


def skip_prolog(data):
    """Return the offset of the root element: behind white space, a byte order mark, <?...?> and comments."""
    position = 3 if data[:3] == b"\xef\xbb\xbf" else 0
    while True:
        position = skip_space(data, position)
        if data[position:position + 2] == b"<?":
            end = data.find(b"?>", position)
        elif data[position:position + 4] == b"<!--":
            end = data.find(b"-->", position) + 1
        elif data[position:position + 2] == b"<!":
            raise XMLError("DOCTYPE")
        else:
            return position
        if end <= 0:
            raise XMLError("unfinished prolog")
        position = end + 2


def open_element(data, position):
    """Return the Element whose start tag is at `position`, white space before it allowed; None at an end tag."""
    position = skip_space(data, position)
    if data[position:position + 1] != b"<":
        raise XMLError("no tag at %d" % position)
    if data[position + 1:position + 2] == b"/":
        return None
    end = data.find(b">", position, position + _MAX_NAME + _MAX_ATTRIBUTES)
    if end < 0:
        raise XMLError("unfinished tag at %d" % position)
    inside = data[position + 1:end]
    empty = inside[-1:] == b"/"
    if empty:
        inside = inside[:-1]
    words = inside.split(None, 1)
    if not words or len(words[0]) > _MAX_NAME or inside[:1] in (b"!", b"?", b" "):
        raise XMLError("no name at %d" % position)
    tag = words[0]
    name = tag[tag.find(b":") + 1:]
    return Element(name, tag, end + 1, empty)


def element_end(data, element):
    """Return (offset of the end tag of `element`, offset behind it), for an element without one of its own name in it."""
    if element.empty:
        return element.start, element.start
    closing = b"</" + element.tag
    end = data.find(closing, element.start)
    while end >= 0:
        behind = skip_space(data, end + len(closing))
        if data[behind:behind + 1] == b">":
            return end, behind + 1
        end = data.find(closing, behind)
    raise XMLError("no end of an element")
