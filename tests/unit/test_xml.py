"""miniigd.xml: escaping, and walks through documents of clients that are friendly, odd or hostile."""

from helpers import damaged, raised
from miniigd import xml
from miniigd.xml import Reader, XMLError

# (text, escaped)
ESCAPES = (
    ("", ""), ("plain", "plain"), ("a & b", "a &amp; b"), ("<>\"", "&lt;&gt;&quot;"), ("&amp;", "&amp;amp;"),
    ("it's", "it's"), ("]]>", "]]&gt;"), ("\u00e9", "\u00e9"),
)

# (as sent, what it stands for)
REFERENCES = (
    (b"", b""), (b"plain", b"plain"), (b"&lt;&gt;&amp;&quot;&apos;", b"<>&\"'"), (b"&amp;amp;", b"&amp;"),
    (b"&#65;&#x41;&#X41;&#x4a;", b"AAAJ"), (b"&#233;", b"\xc3\xa9"), (b"&#x1F600;", b"\xf0\x9f\x98\x80"),
    (b"&#xD7FF;&#xE000;", b"\xed\x9f\xbf\xee\x80\x80"), (b"&#1;&#x10FFFF;", b"\x01\xf4\x8f\xbf\xbf"),
    # an ampersand that starts no reference is kept
    (b"a & b", b"a & b"), (b"&", b"&"), (b"&&amp;&", b"&&&"), (b"a&b;c", b"a&b;c"), (b"&lt", b"&lt"), (b"&;", b"&;"),
    (b"&#;", b"&#;"), (b"&#x;", b"&#x;"), (b"&#0;", b"&#0;"), (b"&#xD800;", b"&#xD800;"), (b"&#xDFFF;", b"&#xDFFF;"),
    (b"&#x110000;", b"&#x110000;"), (b"&#99999999999999999999;", b"&#99999999999999999999;"),
    (b"&#-65;", b"&#-65;"), (b"&#+65;", b"&#+65;"), (b"&# 65;", b"&# 65;"), (b"&#6_5;", b"&#6_5;"),
    (b"&#x0x41;", b"&#x0x41;"), (b"&#41h;", b"&#41h;"), (b"&#4A;", b"&#4A;"), (b"&#\xd9\xa3;", b"&#\xd9\xa3;"),
    (b"&#\xff;", b"&#\xff;"), (b"&LT;", b"&LT;"), (b"&nbsp;", b"&nbsp;"),
)

# What may stand in front of the root.
PROLOGS = (
    b"", b"  \r\n\t", b'<?xml version="1.0"?>', b'<?xml version="1.0"?>\r\n', b"\xef\xbb\xbf",
    b"\xef\xbb\xbf\n<?xml?> <!-- <b> --> ", b"<!---->", b"<!-- a -- b - > -->", b"<?a?><?b?>", b"<!-- a --><!-- b -->",
)

BROKEN_PROLOGS = (
    b"<!DOCTYPE a>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<!", b"<!-", b"<!-a-->", b"<?xml", b"<?", b"<!--", b"<!-- --",
    b" <?xml >", b"x", b"{}", b"\0", b"\xef\xbb", b"<![CDATA[x]]>",
)

# (tag, name, is it empty?)
TAGS = (
    (b"<a>", b"a", False), (b"<a/>", b"a", True), (b"<a />", b"a", True), (b"<a >", b"a", False),
    (b"<s:Envelope>", b"Envelope", False), (b"<SOAP-ENV:Body>", b"Body", False), (b"<a xmlns='b'>", b"a", False),
    (b'<a\n xmlns:s="http://b/"\r\n\tc="d">', b"a", False), (b'<u:a xmlns:u="urn:b:1"/>', b"a", True),
    (b" \r\n\t<a>", b"a", False), (b"<" + b"n" * 128 + b">", b"n" * 128, False),
)

BROKEN_TAGS = (
    b"", b"  ", b"a", b"<", b"<a", b"<a b='c'", b"<>", b"< >", b"< a>", b"<\na>", b"<" + b"n" * 129 + b">", b"&lt;a>",
)


def test_escape():
    for text, escaped in ESCAPES:
        assert xml.escape(text) == escaped


def test_unescape():
    for data, value in REFERENCES:
        assert xml.unescape(data) == value, data


def test_unescape_undoes_escape():
    for text, _ in ESCAPES:
        assert xml.unescape(xml.escape(text).encode()) == text.encode()


def test_unescape_never_raises():
    for data in damaged(b"a &amp; b &#65; &#x1F600; &lt;"):
        xml.unescape(data)


def test_what_may_stand_in_front_of_the_root():
    for prolog in PROLOGS:
        reader = Reader(prolog + b"<a>b</a>")
        assert reader.open() == b"a", prolog
        assert reader.text() == b"b"


def _first(data):
    return Reader(data).open()


def test_a_doctype_and_an_unfinished_prolog_are_refused():
    for prolog in BROKEN_PROLOGS:
        raised(XMLError, _first, prolog)
        raised(XMLError, _first, prolog + b"<a/>")


def test_start_tags():
    for data, name, is_empty in TAGS:
        reader = Reader(data + b"rest</x>")
        assert reader.open() == name, data
        assert reader.is_empty == is_empty


def test_broken_start_tags():
    for data in BROKEN_TAGS:
        raised(XMLError, _first, data)


def test_an_end_tag_is_none():
    for data in (b"</a>", b"  </a>", b"</"):
        assert Reader(data).open() is None


def test_a_walk():
    reader = Reader(b"<?xml?><s:a>\r\n <b x='y'/> <!-- <c/> --> <d>1</d><e></e > <f><g>2</g></f>\n</s:a>")
    assert reader.open() == b"a"
    assert (reader.open(), reader.is_empty, reader.text()) == (b"b", True, b"")
    assert (reader.open(), reader.is_empty, reader.text()) == (b"d", False, b"1")
    assert (reader.open(), reader.text()) == (b"e", b"")
    assert (reader.open(), reader.open(), reader.text()) == (b"f", b"g", b"2")
    assert (reader.open(), reader.open()) == (None, None)
    raised(XMLError, reader.open)


# (document, the text of its first element, the name of the next element; None: refused)
TEXTS = (
    (b"<a>b</a><c/>", b"b", b"c"), (b"<a></a><c/>", b"", b"c"), (b"<a/><c/>", b"", b"c"),
    (b"<a>b</a  ><c/>", b"b", b"c"), (b"<a>b</a\r\n><c/>", b"b", b"c"), (b"<a><b></b></a><c/>", b"<b></b>", b"c"),
    (b"<a>1 < 2 & 3</a><c/>", b"1 < 2 & 3", b"c"), (b"<a>b</ab></a><c/>", b"b</ab>", b"c"),
    (b"<p:a>b</a></p:a><c/>", b"b</a>", b"c"), (b"<a> b\r\n</a><c/>", b" b\r\n", b"c"),
    (b"<a><![CDATA[x]]></a><c/>", b"<![CDATA[x]]>", b"c"), (b"<a><</a><c/>", b"<", b"c"), (b"<a>></a><c/>", b">", b"c"),
    (b"<a>b</a", None, None), (b"<a>b</a x>", None, None), (b"<a>b", None, None), (b"<a>b</b>", None, None),
    (b"<a>", None, None), (b"<a><", None, None),
)


def _text(data):
    reader = Reader(data)
    reader.open()
    return reader.text(), reader.open()


def test_the_number_of_tags_is_limited():
    for count, is_accepted in ((31, True), (95, True), (96, False), (97, False), (1000, False)):
        data = b"<a>" * count
        assert is_accepted or raised(XMLError, Reader, data)
        if is_accepted:
            assert Reader(data).open() == b"a"


def test_the_text_of_an_element():
    for data, text, following in TEXTS:
        if text is None:
            raised(XMLError, _text, data)
        else:
            assert _text(data) == (text, following), data


def _walk(data, has_text):
    """Go through a document as far as it holds together."""
    reader = Reader(data)
    for _ in range(10):
        if reader.open() is not None and has_text:
            reader.text()


def test_only_xml_error_escapes_from_damaged_documents():
    for data in damaged(b'\xef\xbb\xbf<?xml version="1.0"?><!-- c --><s:a b="c"><d/><e f=\'g\'>h</e></s:a>'):
        for has_text in (True, False):
            try:
                _walk(data, has_text)
            except XMLError as error:
                assert error.args[0]


def test_a_document_of_tags_alone_is_refused_at_once():
    for data in (b"<" * 100000, b"<a>" * 30000, b"<!-- " + b"<" * 30000, b"<a " + b"<" * 30000):
        raised(XMLError, _text, data)
