"""The small template language of the scripted brain's lines.

Owns parsing, rendering and enumerating one line. Does not own which line is said (`composer`) nor
where lines come from (`library`).

A line is text with `<a|b>` for alternatives (they nest, and may be empty), `{slot}` for a fact of
the moment and `{+pool}` for any line of another pool. An alternative that needs a fact which is
not known is left out; when `{viewer}` is known, the alternatives that use it are preferred.
"""

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

Slots = Mapping[str, str]
"""The facts a line may use, by name."""

_TOKENS = re.compile(r"[<|>]|\{[^{}]*\}|[^<|>{}]+")
# A word with a dot inside, such as brain.provider, keeps its spelling.
_SENTENCE_START = re.compile(r"(?:^|(?<=[.!?…] ))((?:\[[^\]]*\] ?)?)([a-z])(?!\w*\.\w)")


class TemplateError(ValueError):
    """A line is not well formed; the message quotes it."""


class Slot(msgspec.Struct, frozen=True):
    """A place for the fact called `name`."""

    name: str


class Choice(msgspec.Struct, frozen=True):
    """A place for one of several alternatives."""

    options: "tuple[Template, ...]"


Part = str | Slot | Choice


class Template(msgspec.Struct, frozen=True):
    """A parsed line, or one alternative inside it."""

    parts: tuple[Part, ...]

    def fits(self, slots: Slots) -> bool:
        """Whether everything this line needs is known."""
        return all(_part_fits(part, slots) for part in self.parts)

    def names(self, slot: str) -> bool:
        """Whether the line itself, outside its alternatives, uses `slot`."""
        return any(isinstance(part, Slot) and part.name == slot for part in self.parts)

    def render(self, rng: random.Random, slots: Slots) -> str:
        """One wording of the line; call it only when it `fits`."""
        return polish(_render(self, rng, slots))

    def variants(self, slots: Slots) -> Iterator[str]:
        """Every wording of the line, one after the other."""
        return (polish(text) for text in _variants(self, slots))


def _part_fits(part: Part, slots: Slots) -> bool:
    if isinstance(part, Slot):
        return part.name in slots
    return isinstance(part, str) or any(option.fits(slots) for option in part.options)


def _render(template: Template, rng: random.Random, slots: Slots) -> str:
    return "".join(_render_part(part, rng, slots) for part in template.parts)


def _variants(template: Template, slots: Slots) -> Iterator[str]:
    pieces = [list(_part_variants(part, slots)) for part in template.parts]
    return ("".join(combination) for combination in itertools.product(*pieces))


def _render_part(part: Part, rng: random.Random, slots: Slots) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Slot):
        return slots[part.name]
    fitting = [option for option in part.options if option.fits(slots)]
    naming = [option for option in fitting if option.names("viewer")]
    return _render(rng.choice(naming or fitting), rng, slots)


def _part_variants(part: Part, slots: Slots) -> Iterator[str]:
    if isinstance(part, Choice):
        for option in part.options:
            if option.fits(slots):
                yield from _variants(option, slots)
    else:
        yield part if isinstance(part, str) else slots[part.name]


def polish(text: str) -> str:
    """`text` with single spaces and a capital at the start of each sentence."""
    text = " ".join(text.split())
    return _SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), text)


def parse(line: str, pool: Callable[[str], Sequence[Template]]) -> Template:
    """The template written as `line`; `pool` finds what `{+name}` refers to.

    Raises `TemplateError` for unbalanced `<` and `>` or a `|` outside them.
    """
    tokens = _TOKENS.findall(line)
    if "".join(tokens) != line:
        raise TemplateError(f"stray brace in the line {line!r}: write {{slot}}")
    stack: list[list[list[Part]]] = [[[]]]
    for token in tokens:
        _take(token, stack, line, pool)
    if len(stack) != 1:
        raise TemplateError(f"unclosed < in the line {line!r}")
    return Template(tuple(stack[0][0]))


def _take(
    token: str,
    stack: list[list[list[Part]]],
    line: str,
    pool: Callable[[str], Sequence[Template]],
) -> None:
    """Add one token to the innermost open alternative on the `stack`."""
    if token == "<":
        stack.append([[]])
    elif token in "|>" and len(stack) == 1:
        raise TemplateError(f"{token} outside of <…> in the line {line!r}")
    elif token == "|":
        stack[-1].append([])
    elif token == ">":
        options = tuple(Template(tuple(parts)) for parts in stack.pop())
        stack[-1][-1].append(Choice(options))
    elif token.startswith("{+"):
        stack[-1][-1].append(Choice(tuple(pool(token[2:-1]))))
    elif token.startswith("{"):
        stack[-1][-1].append(Slot(token[1:-1]))
    else:
        stack[-1][-1].append(token)
