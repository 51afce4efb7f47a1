"""Plots as SVG, without any library: lines over a logarithmic x axis, and bars."""

import math

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 180, 40, 50
COLORS = {"miniigd": "#1a7f37", "miniupnpd-nft": "#cf222e", "miniupnpd-ipt": "#bf8700", "floor": "#6e7781"}


def _text(x, y, text, anchor="start", size=13, extra=""):
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return '<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d"%s>%s</text>' % (x, y, anchor, size, extra, text)


def _page(title, parts):
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" fill="#1f2328">\n'
            '<rect width="100%%" height="100%%" fill="#ffffff"/>\n%s\n%s\n</svg>\n'
            % (_WIDTH, _HEIGHT, _text(_LEFT, 24, title, size=15, extra=' font-weight="bold"'), "\n".join(parts)))


def _ticks(low, high):
    """1, 2 and 5 times powers of ten between the two."""
    found, power = [], 10 ** math.floor(math.log10(low))
    while power <= high * 1.001:
        found += [factor * power for factor in (1, 2, 5) if low * 0.999 <= factor * power <= high * 1.001]
        power *= 10
    return found


def _number(value):
    return "{:,.10g}".format(value)


def lines(title, x_title, y_title, series):
    """`series` is [(name for the color, label, [(x, y)])]; both axes are logarithmic."""
    points = [point for _, _, line in series for point in line]
    low_x = min(x for x, _ in points)
    high_x = max(2 * low_x, *(x for x, _ in points))
    low_y = 10 ** math.floor(math.log10(min(y for _, y in points)))
    high_y = max(10 * low_y, 10 ** math.ceil(math.log10(max(y for _, y in points))))

    def place(x, y):
        return (_LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(x / low_x) / math.log(high_x / low_x),
                _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * math.log(y / low_y) / math.log(high_y / low_y))

    parts = []
    for tick in _ticks(low_y, high_y):
        y = place(low_x, tick)[1]
        parts.append('<path d="M%d %.1fH%d" stroke="#d0d7de"/>' % (_LEFT, y, _WIDTH - _RIGHT))
        parts.append(_text(_LEFT - 6, y + 4, _number(tick), "end", 11))
    for tick in _ticks(low_x, high_x):
        x = place(tick, low_y)[0]
        parts.append('<path d="M%.1f %dV%d" stroke="#d0d7de"/>' % (x, _TOP, _HEIGHT - _BOTTOM))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 16, _number(tick), "middle", 11))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, x_title, "middle"))
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(_text(18, middle, y_title, "middle", extra=' transform="rotate(-90 18 %.1f)"' % middle))
    ends = []
    for name, label, line in series:
        spots = [place(x, y) for x, y in sorted(line)]
        parts.append('<path d="M%s" fill="none" stroke="%s" stroke-width="2.5"/>'
                     % ("L".join("%.1f %.1f" % spot for spot in spots), COLORS[name]))
        parts += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (*spot, COLORS[name]) for spot in spots]
        ends.append([spots[-1][1], name, label])
    last = 0
    for y, name, label in sorted(ends):
        last = max(y + 4, last + 16)  # labels that would lie over each other move down
        parts.append(_text(_WIDTH - _RIGHT + 8, last, label, extra=' fill="%s"' % COLORS[name]))
    return _page(title, parts)


def bars(title, unit, rows):
    """`rows` is [(name for the color, label, [(value, what it is)])]: each a bar of pieces, one behind the other."""
    longest = max(sum(value for value, _ in pieces) for _, _, pieces in rows)
    scale, parts = (_WIDTH - 40 - 160) / longest, []
    for number, (name, label, pieces) in enumerate(rows):
        y, x = _TOP + 20 + number * 80, 20.0
        parts.append(_text(20, y, label))
        for index, (value, what) in enumerate(pieces):
            parts.append('<rect x="%.1f" y="%.1f" width="%.1f" height="26" fill="%s" fill-opacity="%.2f"/>'
                         % (x, y + 8, value * scale, COLORS[name], 1 - 0.45 * index))
            parts.append(_text(x + 4, y + 48, what, size=11))
            x += value * scale
        parts.append(_text(x + 8, y + 26, "%s %s" % (_number(sum(value for value, _ in pieces)), unit)))
    return _page(title, parts)
