"""What follows a command's name, word by word: typed values, options, `for 30m`, and a text to the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commands.catalogue import Service
from commands.registry import Argument, Command, Duration, Person
from commands.values import (
    Names,
    convert,
    duration,
    is_duration,
    known_person,
    looks_like,
    nearest,
    replica_count,
    shown,
    spoken,
    written,
)
from commands.words import DASHES, QUOTES, Token, inside, option_like, protected, quotation, token_at, tokens
from incidents.ports import RefusedError

_DRY_RUN = "dry-run"


class Line:
    """What follows a command's name; `dry_run` and `for_seconds` are set by reading it."""

    def __init__(self, command: Command, names: Names, preset: Mapping[str, Any]) -> None:
        self.command, self.names = command, names
        self.values: dict[str, Any] = dict(preset)  # by the arguments' names
        self.dry_run = False
        self.for_seconds: int | None = None
        self.change = command.effect in ("change", "danger") or command.plans
        every = command.arguments
        place = next((i for i, a in enumerate(every) if a.rest), len(every))
        self.text = every[place] if place < len(every) else None
        self.before = [a for a in every[:place] if not a.keyword]
        self.after = [a for a in every[place + 1 :] if not a.keyword]
        self.keys = {
            a.name: a for a in every if not a.rest and (a.keyword or self.text is None or a in self.after)
        }

    def read(self, rest: str) -> dict[str, Any]:
        """The typed values of `rest` by the parameters' names; RefusedError where a word has no place."""
        if self.text is None:
            self._read_words(rest.strip())
        else:
            self._read_text(self._read_before(rest.strip()))
        arguments, values = self.command.arguments, self.values
        for argument in arguments:
            if argument.required and argument.name not in values:
                raise RefusedError(self.command.needs(_called(argument), self._example()))
        return {a.parameter or a.name: values[a.name] for a in arguments if a.name in values}

    def _example(self) -> str:
        """The first example of the help, with a service of the catalogue where it names another one."""
        words, arguments = self.command.example.split(" "), self.command.arguments
        place = len(self.command.name.split())
        if arguments[0].type is not Service or place >= len(words):
            return self.command.example
        catalogue = self.names.catalogue
        wanted = "compose" if words[0] == "/compose" else "kubernetes"
        if catalogue.service(words[place]) is None:
            there = [s.name for s in catalogue.services.values() if s.runtime == wanted]
            words[place : place + 1] = there[:1] or words[place : place + 1]
        return " ".join(words)

    # -- lines without a text: options anywhere, every word accounted for ------------------------

    def _read_words(self, rest: str) -> None:
        if len(rest.splitlines()) > 1:
            raise RefusedError(f"Write {self.command.name} on one line.")
        found = tokens(rest, self.keys)
        words: list[Token] = []
        at = 0
        while at < len(found):
            token = found[at]
            if token.unclosed:
                raise RefusedError(f"The quotation mark before {shown(token.text[1:])} is never closed.")
            used = self._option(found, at)
            if not used:
                if token.key or token.flag or (token.dashed and not token.quoted):
                    raise self._unknown_option(token.key or token.flag or token.text.lstrip(DASHES))
                words.append(token)
            at += max(1, used)
        if self.change:
            words = self._read_for(words)
        self._fill(words)

    def _read_for(self, words: list[Token]) -> list[Token]:
        """Take `for 30m` from the end, or `for 30 minutes`; the words before it."""
        at = next((i for i, word in enumerate(words[:-1]) if word.text.lower() == "for"), len(words))
        if words and not words[-1].quoted and words[-1].text.lower() == "for":
            raise RefusedError('The time is missing after "for", as in `for 30m`.')
        told = [word.text for word in words[at + 1 :]]
        if told:
            joined = "".join(told)
            self.for_seconds = duration(joined if is_duration(joined) else " ".join(told), "for")
        return words[:at]

    def _fill(self, words: list[Token]) -> None:
        places = [a for a in self.before if a.name not in self.values]
        for word in words:
            key = "" if word.quoted else option_like(word.text)
            if key and not (places and places[0].type is str):
                raise self._unknown_option(key)
            if places and _filler(word, places[0]):
                continue
            if places:
                self._set(places.pop(0), word.text, word.quoted)
            elif (switch := self.keys.get(word.text.lower())) is not None and switch.type is bool:
                self._set(switch, "yes")
            else:
                takes = len(self.before)
                count = f"takes {takes} value{'s' if takes != 1 else ''}" if takes else "takes no value"
                raise self._refused(f"{self.command.name} {count}, {shown(word.text)} is too many")

    # -- lines with a text: words before it, options after it -------------------------------------

    def _read_before(self, rest: str) -> str:
        for argument in self.before:
            rest = self._leading_flags(rest)
            if not rest:
                break
            token = token_at(rest, 0, ())
            if _filler(token, argument):
                following = token_at(rest[token.end :].lstrip(), 0, ())
                if looks_like(argument, following.text, self.names):
                    rest, token = rest[token.end :].lstrip(), following
            if not argument.required and (token.quoted or not looks_like(argument, token.text, self.names)):
                continue
            self._set(argument, token.text, token.quoted)
            rest = rest[token.end :].lstrip()
        return self._leading_flags(rest)

    def _leading_flags(self, rest: str) -> str:
        while rest and rest[0] in DASHES:
            found = tokens(rest, (), limit=2)
            used = self._option(found, 0)
            if not used:
                break
            rest = rest[found[used - 1].end :].lstrip()
        return rest

    def _read_text(self, rest: str) -> None:
        if (quoted := quotation(rest)) is not None:
            found = tokens(rest, self.keys, quoted.end())
            if self._options_from(found) == 0:
                self._take(found)
                self._set_text(inside(quoted).strip())
                return
        found = tokens(rest, self.keys)
        first = self._options_from(found)
        for token in found[:first]:
            self._check_place(token)
        self._take(found[first:])
        self._set_text(rest[: found[first].start].rstrip() if first < len(found) else rest)

    def _check_place(self, token: Token) -> None:
        """Refuse an option in the middle of a text, where it would be lost: `eta=30 min`, `eta=30m soon`."""
        if not self._is_option(token):
            return
        argument = self.keys.get(token.key)
        if argument is not None and argument.type is Duration:
            duration(token.text, argument.name)
        option = f"{token.key}=…" if token.key else f"--{token.flag}"
        raise RefusedError(
            f"Write {option} at the end of the line, or put the text in quotation marks: {self.command.usage}"
        )

    def _is_option(self, token: Token) -> bool:
        return bool(token.key) or token.flag in self.keys or (self.change and token.flag == _DRY_RUN)

    def _options_from(self, found: list[Token]) -> int:
        """Where the trailing run of options begins."""
        at = len(found)
        taken = set(self.values)
        while at > 0:
            token = found[at - 1]
            if at > 1 and self._spends(found[at - 2], token) == 2:
                taken.add(found[at - 2].flag)
                at -= 2
            elif self._spends(token, None) == 1:
                taken.add(token.key)
                at -= 1
            elif (argument := self._after(token, taken)) is not None:
                taken.add(argument.name)
                at -= 1
            else:
                break
        return at

    def _take(self, found: list[Token]) -> None:
        at = 0
        while at < len(found):
            used = self._option(found, at)
            if not used:
                argument = self._after(found[at], set(self.values))
                if argument is None:
                    raise self._refused(f"{shown(found[at].text)} is too many")
                self._set(argument, found[at].text)
            at += max(1, used)

    def _after(self, token: Token, taken: set[str]) -> Argument | None:
        """The argument after the text that a bare word is meant for: `@bob`, or `1h`."""
        if token.quoted or token.key or token.flag:
            return None
        person = token.text.startswith("@") and known_person(token.text, self.names) is not None
        wanted = Person if person else Duration if is_duration(token.text) else None
        places = [*self.after, *(a for a in self.keys.values() if a.keyword and person)]
        return next((a for a in places if a.type is wanted and a.name not in taken), None)

    def _set_text(self, text: str) -> None:
        if text and self.text is not None:
            self.values[self.text.name] = text

    # -- options ----------------------------------------------------------------------------------

    def _spends(self, token: Token, following: Token | None) -> int:
        """How many tokens this option takes; 0 where it is none that this command knows."""
        if token.key:
            return 1 if token.key in self.keys else 0
        if token.flag:
            if token.flag == _DRY_RUN and self.change:
                return 1
            argument = self.keys.get(token.flag)
            return 0 if argument is None else 1 if argument.type is bool else 2 if following else 0
        timed = self.change and self.text is not None and not token.quoted and token.text.lower() == "for"
        return 2 if timed and following and is_duration(following.text) else 0

    def _option(self, tokens: list[Token], at: int) -> int:
        """Read the option at `at` and return how many tokens it took, 0 where there is none."""
        token = tokens[at]
        following = tokens[at + 1] if at + 1 < len(tokens) else None
        used = self._spends(token, following)
        if not used:
            return 0
        if token.flag == _DRY_RUN and self.change:
            self.dry_run = True
        elif token.key:
            self._set(self.keys[token.key], token.text, token.quoted)
        elif token.flag:
            value = following if used == 2 else None
            self._set(self.keys[token.flag], value.text if value else "yes", bool(value and value.quoted))
        elif following is not None:
            self.for_seconds = duration(following.text, "for")
        return used

    def _set(self, argument: Argument, word: str, quoted: bool = False) -> None:
        if argument.name in self.values:
            raise self._refused(f"{argument.name} is given twice")
        service = next((v for v in self.values.values() if isinstance(v, Service)), None)
        if argument.name == "replicas" and service is not None and not quoted:
            self.values[argument.name] = replica_count(word, service)
        else:
            self.values[argument.name] = convert(argument, word, self.names, quoted=quoted)

    def _unknown_option(self, key: str) -> RefusedError:
        known = [*self.keys, _DRY_RUN] if self.change else list(self.keys)
        hint = nearest(key, known).replace(_DRY_RUN, f"--{_DRY_RUN}")
        return self._refused(f"{self.command.name} has no option {shown(key)}{'.' + hint if hint else ''}")

    def _refused(self, what: str) -> RefusedError:
        return RefusedError(f"{what}{'' if what.endswith('?') else ':'} {self.command.usage}")

    # -- the line, typed again ----------------------------------------------------------------------

    def written(self) -> str:
        """The line typed again, each value in its plainest form."""
        parts = [self.command.name]
        for a in sorted(self.command.arguments, key=lambda a: a.keyword):
            if a.name not in self.values:
                continue
            value = self.values[a.name]
            if a.rest:
                parts.append(protected(value) if self._misread(value) else value)
            elif a.keyword or self._skipped(a):
                parts.append(f"{a.name}={written(a, value)}")
            else:
                parts.append(written(a, value))
        if self.for_seconds is not None:
            parts.append(f"for {spoken(self.for_seconds)}")
        return " ".join(parts)

    def _misread(self, text: str) -> bool:
        """Whether the text would be read as something else without quotation marks."""
        if (
            text[0] in QUOTES
            or text[0] in DASHES
            or self._options_from(tokens(text, self.keys)) < len(text.split())
            or any(self._is_option(token) for token in tokens(text, self.keys))
        ):
            return True
        left = [a for a in self.before if a.name not in self.values]
        return any(looks_like(a, text.split(None, 1)[0], self.names) for a in left)

    def _skipped(self, argument: Argument) -> bool:
        """Whether an earlier place was left empty, so that this value needs its name."""
        if self.text is not None:
            return False
        earlier = self.before[: self.before.index(argument)]
        return any(a.name not in self.values for a in earlier)


def _filler(token: Token, argument: Argument) -> bool:
    """Whether a word only leads to the value: `scale realtime to 10`, `handover to bob`."""
    return not token.quoted and token.text.lower() == "to" and argument.type in (int, Person)


def _called(argument: Argument) -> str:
    return "|".join(argument.choices) if argument.choices else argument.name.upper()
