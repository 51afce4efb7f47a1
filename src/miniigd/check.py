"""`miniigd check`: what is wrong in the configuration, or else what it sets and which rules hold, in order.

Needs no devices and no rights, and changes nothing.
"""

from . import config, rules
from .errors import ConfigError


def main(arguments, output):
    """Write the report to `output`; return the exit status: 1 where something is wrong, 2 for a wrong command line."""
    settings = config.Config()
    if arguments:
        if len(arguments) != 2 or arguments[0] != "-c":
            output.write("miniigd: check takes -c FILE and nothing else\n%s" % config.USAGE)
            return 2
        settings.path = arguments[1]
    try:
        config.load(settings)
    except OSError:
        problems = ["%s cannot be read" % settings.path]
    except ConfigError as error:
        problems = [error.args[0]]
    else:
        problems = ["%s: %s" % (settings.path, line) for line in settings.problems]
        for name in settings.unknown:
            problems.append("%s: section %s, option %s: there is no such option; take it out or correct its name"
                            % ((settings.path,) + tuple(name.split(".", 1))))
    for line in problems or _report(settings):
        output.write(line + "\n")
    return 1 if problems else 0


def _report(settings):
    lines, seen = [], []
    is_of_second = False
    for row in config.OPTIONS:
        attribute, names = row[:2]
        is_of_second |= attribute == "access_preset"  # it and what follows is of the second schema only
        if attribute not in seen and (settings.has_settings or not is_of_second):
            seen.append(attribute)
            lines.append("%s = %s   (from: %s)" % (names[0], config.shown(row, getattr(settings, attribute)),
                                                   "file" if attribute in settings.named else "default"))
    for number, rule in enumerate(settings.rules):
        lines.append("rule %d: %s   (%s)" % (number + 1, rules.text_of(rule), rule))
    if not settings.has_settings:
        lines.append("otherwise: allow ports from 1024, deny those below")
    return lines
