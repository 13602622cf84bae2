"""What tired people type on a phone at night, and the one sentence (or the effect) that they get."""

from __future__ import annotations

from pathlib import Path

from bot.app import registry
from bot.config import load
from commands.grammar import Names, parse
from tests.bad_input.rig import rig

# Where it is typed, by whom, the line, and words of the answer. `+` in front: it did what was meant.
NIGHT = r"""
ops alice       /incident open                          incident open needs SEVERITY, as in “/incident open critical
ops alice       /open critcal Redis is down             There is no severity "critcal"
ops alice       /open "Redis is down" critical          Write severity as one word without quotation marks
ops alice       /open critical down service=redsi       Did you mean redis?
ops alice       /incident                               incident needs to know what: incident list
ops alice       /ack                                    This channel is no incident's
ops alice       /update failover running                This channel is no incident's
direct alice    /scale realtime 10                      Changes are asked for in an incident's channel or in #ops
direct alice    hello                                   A command begins with / or !, as in /help.
incident alice  ack                                     a command begins with a / or !, as in “/ack”.
incident alice  /ack.                                   + alice acknowledged INC-1
incident alice  / ACK                                   You have acknowledged INC-1 already
incident alice  ！ack!                                  You have acknowledged INC-1 already
incident alice  @Watchbell: ack please                  + INC-1, alice: please
incident alice  /acknowledge                            Did you mean ack?
incident alice  /hlep                                   Did you mean help?
incident alice  @watchbell                              Say what to do; /help lists the commands.
incident alice  /update                                 update needs TEXT, as in “/update failover is running”.
incident alice  /update eta=30m reindexing              Write eta=… at the end of the line
incident alice  /update reindexing eta=30 min           eta is a number and a unit, as in 90s, 30m
incident alice  /update “reindexing” —eta 30min         + ETA
incident alice  /status: identified, it’s the disk      + it’s the disk
incident alice  /status fixed                           status is one of investigating, identified
incident alice  /scale realtime                         scale needs REPLICAS, as in “/scale realtime 10”.
incident alice  /scale 10 realtime                      There is no service "10". “/health all” lists the services.
incident alice  /scale realtme 10                       Did you mean realtime?
incident alice  /scale realtime ten                     realtime takes 0 to 20 replicas; "ten" is no whole number
incident alice  /scale realtime —1                      realtime takes 0 to 20 replicas; —1 is outside
incident alice  /scale realtime 200                     200 is outside
incident alice  /scale realtime 9 for a while           for is a number and a unit, as in 90s, 30m
incident alice  /scale realtime 9 -dry-run              Did you mean --dry-run?
incident alice  /scale realtime 9 —dry-run              + Plan only, nothing runs
incident alice  /scale realtime to 10                   + #1 asks for exactly this already
incident alice  /sacle realtime 10                      Did you mean scale
incident alice  /restart all                            There is no service "all". “/health all” lists the services.
incident alice  /approve                                approve needs NUMBER, as in “/approve 7”.
incident alice  /approve all                            number is in digits, as in 7, #7 or INC-7; "all" is not.
incident alice  /approve #7                             There is no request #7; “/pending” shows what waits.
incident alice  /approve 1.                             that one is yours
incident bob    approve 1                               a command begins with a / or !, as in “/approve 1”.
incident heidi  /approve 1                              “/approve” is for approvers
incident grace  /ack                                    “/ack” is for responders
incident alice  /undo                                   No change of this incident can be taken back.
incident alice  /merge                                  merge needs INCIDENT, as in “/incident merge INC-41”.
incident alice  /merge INC-99                           There is no INC-99
incident alice  /escalate team lead                     + @carol
incident alice  /escalate to Bob.                       + @bob
incident alice  /page @nobody                           I know nobody called "nobody". “/oncall” shows who is there.
incident alice  /page bbo                               Did you mean bob?
incident alice  /page bob and carol                     One person at a time
incident alice  /page @bob @carol                       One person at a time
incident alice  /handover to bob                        + bob
incident alice  /role bob                               role is one of commander, scribe, comms
incident alice  /severity critcal                       There is no severity "critcal"
incident alice  /snooze 30                              duration is a number and a unit
incident alice  /snooze 1m                              The next reminder comes in
incident alice  /remind every 15 minutes                Say how often: “/incident remind every 15m”
incident alice  /action fix it @Bob                     + for @bob: fix it
incident alice  /done                                   done needs NUMBER, as in “/incident done 2”.
incident alice  /logs realtime | grep error             "|" is too many: logs SERVICE
incident alice  /logs realtime grep="a                  is never closed
incident alice  /redis flushall                         Did you mean redis flush?
incident alice  /redis get session:1                    are never shown
incident alice  /simulate critical tomorrow             when is a duration, a time of day or a date
incident alice  /simulate critical 9999-12-31T23:59     when is at most ten years away
incident alice  /export pdf                             form is one of md, html, json, csv, zip
incident alice  /why is it down                         number is in digits
incident alice  /resolve                                + INC-1 resolved
incident alice  /resolve                                INC-1 is resolved; “/incident reopen” opens it again.
incident alice  /ack                                    INC-1 is resolved; “/incident reopen” opens it again.
"""


async def test_the_typing_mistakes_of_a_night(tmp_path: Path) -> None:
    """Each gets exactly one sentence that says what to do, or does what was plainly meant."""
    wrong = []
    async with rig(tmp_path / "data") as bell:
        for row in NIGHT.strip().splitlines():
            place, rest = row.split(" ", 1)
            person, rest = rest.split(None, 1)
            line, wanted = (part.strip() for part in rest.split("  ", 1))
            done = await bell.say(person, place, line)
            bell.answered(done, line, place)
            said = [r.text or "" for r in done or () if r.do in ("say", "upload")]
            does = wanted.startswith("+")
            told = wanted.removeprefix("+").strip()
            if not any(told in text.replace("\u2060", "") for text in said) or not (does or len(said) == 1):
                wrong.append((line, wanted, said))
    assert not wrong, "\n".join(map(str, wrong))


def test_every_command_that_needs_something_has_an_example() -> None:
    """What is said about a line that lacks something is an example, and the example is a right line."""
    settings = load(None, {}, tokens=False)
    names = Names(settings.catalogue, {name: p.display for name, p in settings.people.items()})
    known = registry()
    for name in known.names():
        command = known.commands[name]
        if any(argument.required for argument in command.arguments):
            assert parse(command.example, known, names).command is command, name
