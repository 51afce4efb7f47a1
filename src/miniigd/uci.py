"""UCI, the format of the files in /etc/config: sections with options, read from text and never written.

    config upnpd 'config'
        option port '5000'
"""

from .errors import ConfigError


class Section:
    """A section: its `type`, its `name` ("" for none) and its [(option, value)] in the file's order."""

    def __init__(self, type, name):
        self.type = type
        self.name = name
        self.options = []

    def add(self, name, value):
        """Take over a line `list`: its values are read as one, with a space between them."""
        for index, (other, before) in enumerate(self.options):
            if other == name:
                self.options[index] = (name, before + " " + value)
                return
        self.options.append((name, value))


def parse(text):
    """Return the Sections of a file; ConfigError with the line's number."""
    sections = []
    # Bytes: the runtime looks for each new text among the program's own strings.
    for number, line in enumerate(text.encode().split(b"\n")):
        words = _split(line, number + 1)
        if not words:
            continue
        if words[0] == "config" and len(words) in (2, 3):
            sections.append(Section(words[1], words[2] if len(words) == 3 else ""))
        elif words[0] in ("option", "list") and len(words) == 3:
            if sections and words[0] == "option":
                sections[-1].options.append((words[1], words[2]))
            elif sections:
                sections[-1].add(words[1], words[2])
        elif words[0] != "package":
            raise ConfigError("line %d is not UCI: %s" % (number + 1, line.decode().strip()))
    return sections


def _split(line, number):
    """Return the words (str) of a line (bytes): bare, in '...' or in "..."; # starts a comment."""
    if line.lstrip()[:1] in (b"", b"#"):
        return []
    # Nearly all lines are like this, and looking at each character takes the router ten times as long.
    before, mark, rest = line.partition(b"'")
    if b"\\" not in before and b'"' not in before and b"#" not in before:
        found = [word.decode() for word in before.split()]
        if not mark:
            return found
        word, mark, rest = rest.partition(b"'")
        if mark and before[-1:] in (b" ", b"\t") and (
                not rest.strip() or rest[:1] in (b" ", b"\t") and rest.lstrip()[:1] == b"#"):
            found.append(word.decode())
            return found
    words = []
    word = None
    quote = ""
    is_escaped = False
    for character in line.decode():
        if is_escaped:
            is_escaped = False
            word = (word or "") + character
        elif character == "\\" and quote != "'":
            is_escaped = True  # uci writes an apostrophe as '\''
        elif quote:
            if character == quote:
                quote = ""
            else:
                word += character
        elif character in "'\"":
            quote = character
            word = word or ""
        elif character in " \t\r":
            if word is not None:
                words.append(word)
                word = None
        elif character == "#" and word is None:
            break
        else:
            word = (word or "") + character
    if quote:
        raise ConfigError("line %d: a quote is not closed" % number)
    if word is not None:
        words.append(word)
    return words
