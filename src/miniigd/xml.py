"""The little XML that UPnP needs: escape text, and walk through the elements of a small document.

    reader = Reader(b"<a><b>1 &lt; 2</b></a>")
    reader.open()                    # b"a"
    reader.open()                    # b"b"
    unescape(reader.text())          # b"1 < 2"
    reader.open()                    # None: the end of <a>

Raises XMLError; any other exception is a bug. No entities but XML's own five and character references, no DOCTYPE.
"""

from .compat import const

_MAX_NAME = const(128)  # bytes of a tag's name with its prefix; UPnP's longest is 33
_MAX_TAGS = const(96)  # in a document; a call with 8 arguments has 25


class XMLError(Exception):
    """The document is not XML that UPnP allows; the first argument says where it broke."""


class Document:
    """A document (text) that is the value of an element of another: it goes there in a CDATA section.

    Escaping it would mean the same, but miniupnpc does not read it then. Its own texts are escaped, so that the end
    of the section cannot stand in it.
    """

    def __init__(self, text):
        self.text = text


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
    """Return the bytes that `data` stands for; a lone ampersand is kept (miniupnpc sends those)."""
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


class Reader:
    """Walks through the tags of a document; see the module's text for the order of calls.

    Splitting at every < is done by the runtime in one go, which is much faster than looking at bytes one by one.
    With `is_inside`, `data` is what is behind a start tag.
    """

    def __init__(self, data, is_inside=False):
        self._pieces = data.split(b"<", _MAX_TAGS)  # each begins with a tag's inside
        self._position = 0
        self._tag = b""  # of the start tag we are at, with its prefix
        self._text = b""  # behind it
        self.is_empty = False  # <name/>
        before = self._pieces[0]
        if before and not is_inside and before.strip() not in (b"", b"\xef\xbb\xbf"):  # a byte order mark is allowed
            raise XMLError("text before the first tag")
        if len(self._pieces) > _MAX_TAGS:
            raise XMLError("too many tags")

    @property
    def place(self):
        """How many bytes come before what is behind the start tag just opened."""
        return sum([len(piece) for piece in self._pieces[:self._position + 1]]) + self._position - len(self._text)

    def _next(self):
        self._position += 1
        if self._position >= len(self._pieces):
            raise XMLError("unfinished document")
        return self._pieces[self._position]

    def open(self):
        """Go on to the next start tag; return its name without prefix (bytes), or None when an end tag comes first."""
        while True:
            piece = self._next()
            first = piece[:1]
            if first == b"/":
                return None
            if first == b"!":
                self._skip_comment(piece)
            elif first == b"?":
                if b"?>" not in piece:
                    raise XMLError("unfinished <?")
            else:
                return self._start_tag(piece)

    def _skip_comment(self, piece):
        if piece[:3] != b"!--":
            raise XMLError("DOCTYPE or CDATA")
        while b"-->" not in piece:
            piece = self._next()

    def _start_tag(self, piece):
        inside, end, self._text = piece.partition(b">")
        self.is_empty = inside[-1:] == b"/"
        if self.is_empty:
            inside = inside[:-1]
        words = inside.split(None, 1)
        if not end or not words or not inside.startswith(words[0]) or len(words[0]) > _MAX_NAME:
            raise XMLError("a tag without end or name")
        self._tag = words[0]
        return self._tag[self._tag.find(b":") + 1:]

    def text(self):
        """Return the bytes up to the end tag of the element just opened, raw, and go on behind it.

        What looks like tags inside is text too: clients are known to send a raw < there.
        """
        if self.is_empty:
            return b""
        text = self._text
        closing = b"/" + self._tag
        while True:
            piece = self._next()
            if piece.startswith(closing) and piece[len(closing):].lstrip()[:1] == b">":
                return text
            text += b"<" + piece

    def elements(self, most):
        """Return {name: raw text} of the elements up to the next end tag, in which they stand; at most `most` of them.

        The same as `open` and `text` in turn, without their calls for elements as nearly all clients write them.
        """
        found = {}
        pieces = self._pieces
        last = len(pieces) - 1
        for _ in range(most + 1):
            position = self._position + 1
            if position < last:
                tag, _, text = pieces[position].partition(b">")
                if pieces[position + 1] == b"/" + tag + b">":
                    found[tag[tag.find(b":") + 1:] if b":" in tag else tag] = text
                    self._position = position + 1
                    continue
            name = self.open()
            if name is None:
                return found
            found[name] = self.text()
        raise XMLError("too many elements")
