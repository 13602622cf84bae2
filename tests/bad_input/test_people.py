"""Anything said, pressed, ticked, edited and deleted by anybody anywhere: a sentence or an effect, never a crash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.chat import Deletion, Edit, Press, Reaction
from tests import examples
from tests.bad_input.rig import PEOPLE, PLACES, Rig, rig
from tests.bad_input.typed import ANYTHING, EMOJI, TALK, every_wrong_type

HERE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
person_names, place_names = st.sampled_from(PEOPLE), st.sampled_from(PLACES)


@pytest.fixture(name="bell")
async def a_rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path / "data") as made:
        yield made


@given(person=person_names, place=place_names, text=ANYTHING, threaded=st.booleans())
@example("alice", "incident", "/note " + "x" * 100_000, False)
@example("alice", "ops", "x" * 100_000, False)
@example("grace", "direct", "\x00" * 100_000, True)
@example("alice", "ops", "/incident open critical " + "﷽" * 9_000, False)
@example("alice", "incident", "/redis keys " + "[" * 250, False)
@example("alice", "incident", "/promql " + "(" * 5_000, False)
@example("alice", "incident", "/simulate critical 9999-12-31T23:59", False)
@settings(max_examples=examples(150), deadline=None, suppress_health_check=HERE)
async def test_anything_said_anywhere(bell: Rig, person: str, place: str, text: str, threaded: bool) -> None:
    """Through the built-in chat, which takes NULs and half surrogates out."""
    thread = next(iter(bell.stage.console.store.messages)) if threaded else None
    done = await bell.say(person, place, text, thread)
    bell.answered(done, text, place)
    await bell.lives()


@pytest.mark.parametrize("family", ["incident", "operations"])
async def test_every_wrong_type_in_every_place_of_every_command(bell: Rig, family: str) -> None:
    """Each argument missing and with each wrong value, the others right; nothing of it is a crash."""
    for count, line in enumerate(every_wrong_type(family)):
        place = "incident" if count % 2 else "ops"
        bell.answered(await bell.say("alice", place, line), line, place)
        if count % 50 == 0:
            await bell.lives()


@given(
    person=person_names,
    place=place_names,
    text=ANYTHING,
    thread=st.sampled_from([None, "M1", "M2", "nope", "\ud800"]),
)
@example("alice", "incident", "a\ud800b", None)
@example("alice", "incident", "/note a\ud800b", None)
@example("alice", "ops", "\x00" * 100_000, None)
@example("alice", "incident", "\x00" * 100_000, None)
@settings(max_examples=examples(80), deadline=None, suppress_health_check=HERE)
async def test_a_platform_that_lets_everything_through(
    bell: Rig, person: str, place: str, text: str, thread: str | None
) -> None:
    """NULs, half surrogates, threads and messages that nobody knows."""
    done = await bell.receive(bell.request(person, place, text, thread=thread))
    bell.answered(done, text, place)
    await bell.lives()


MESSAGES = st.one_of(
    st.sampled_from(["M1", "M3", "M9", "raw-1", "nope", "", "\ud800", "1" * 200]), st.text(max_size=5)
)
ACTS = st.one_of(
    st.tuples(st.just(Press), st.fixed_dictionaries({"message_id": MESSAGES, "value": ANYTHING})),
    st.tuples(
        st.just(Reaction),
        st.fixed_dictionaries({"message_id": MESSAGES, "emoji": EMOJI, "added": st.booleans()}),
    ),
    st.tuples(st.just(Edit), st.fixed_dictionaries({"message_id": MESSAGES, "text": TALK})),
    st.tuples(st.just(Deletion), st.fixed_dictionaries({"message_id": MESSAGES})),
)


@given(person=person_names, place=place_names, act=ACTS)
@example("alice", "incident", (Edit, {"message_id": "M1", "text": "a\ud800\x00b"}))
@example("alice", "incident", (Edit, {"message_id": "M1", "text": "x" * 100_000}))
@example("alice", "incident", (Press, {"message_id": "M1", "value": "/approve \ud800"}))
@settings(max_examples=examples(80), deadline=None, suppress_health_check=HERE)
async def test_presses_reactions_edits_and_deletions_of_anything(
    bell: Rig, person: str, place: str, act: tuple[type[Any], dict[str, Any]]
) -> None:
    """Of messages that are there, of others' and of none; at most one thing is said about it."""
    kind, values = act
    done = await bell.receive(kind(**bell.common(person, place), **values))
    bell.clean(done)
    if not any(r.do == "event" for r in done):
        assert len([r for r in done if r.do == "say"]) <= 1
    await bell.lives()


@given(person=person_names, pick=st.integers(0, 200), text=ANYTHING, emoji=EMOJI, what=st.integers(0, 4))
@settings(max_examples=examples(100), deadline=None, suppress_health_check=HERE)
async def test_what_people_do_with_the_messages_that_are_there(
    bell: Rig, person: str, pick: int, text: str, emoji: str, what: int
) -> None:
    """Any button, any emoji, own and others' messages edited and deleted, answers in any thread."""
    console = bell.stage.console
    messages = list(console.store.messages.values())
    message = messages[-1 - pick % len(messages)]
    label = message.buttons[pick % len(message.buttons)].label if message.buttons else text
    act = (
        lambda: console.presses(person, message.id, label),
        lambda: console.reacts(person, message.id, emoji, added=bool(pick % 3)),
        lambda: console.edits(person, message.id, text),
        lambda: console.deletes(person, message.id),
        lambda: console.says(person, message.channel, text, message.id),
    )[what]
    bell.clean(await bell.act(act()))
    await bell.lives()


async def test_the_same_thing_twice(bell: Rig) -> None:
    """A platform that repeats itself is answered once."""
    request = bell.request("alice", "ops", "/nonsense")
    assert "say" in [record.do for record in await bell.receive(request)]
    assert await bell.receive(request) == []
