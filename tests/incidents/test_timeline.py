"""The timeline is the selection that a reader wants, the transcript is everything that people wrote."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents import change_sentences, sentences
from incidents import events as e
from incidents.timeline import Entry, Row, rows, transcript
from incidents.wording import span
from tests.incidents.incident_log import CHANNEL, Log, at, story

# What no reader of a post-mortem misses, or what shows elsewhere (the transcript, another stream).
LEFT_OUT = {
    *(
        e.ChannelBound,
        e.MessageUnpinned,
        e.MessagePosted,
        e.MessageEdited,
        e.MessageDeleted,
        e.MessageScrubbed,
    ),
    *(e.PolicyAdopted, e.OverrideSet, e.HandoverDue, e.CommandRefused),
}

TOLD = (
    "The impact began, says alertmanager",
    "alertmanager opened INC-42 as critical on realtime and redis: Redis is down",
    "Paged alice (primary), due 02:31 CET",
    "Paged alice again (repeat 1), due 02:36 CET",
    "First response is late: 15 min allowed, due 02:46 CET",
    "Bob Brown acknowledged: looking at it",
    "carol is commander (said Bob Brown)",
    "Bob Brown set the ETA to 03:31 CET",
    "#8 started, approved by carol",
    "Bob Brown denied #9: the host has 3 GB",
    "Bob Brown moved the ETA from 03:31 CET to 03:46 CET",
    "Bob Brown asked for #10, to undo #8: scale realtime 10 → 3",
    "#10 is done and #8 undone in 41 s: realtime runs 3 replicas",
    "Bob Brown resolved the incident: failover repaired",
    "alertmanager reopened the incident: RedisDown fires again",
    "alice lowered the severity from critical to high: reads work, writes wait",
    "alice answered the reminder: No change.",
    "Action item 1 was due 02:31 CET and is not done",
)


def texts(found: tuple[Row, ...]) -> list[str]:
    """The sentences alone."""
    return [row.text for row in found]


def test_every_event_has_a_sentence_or_is_left_out_on_purpose() -> None:
    """A new kind of event has to be decided on."""
    told = set(sentences.RULES) | set(change_sentences.RULES)
    assert {kind.__name__ for kind in told | LEFT_OUT} == {kind.__name__ for kind in e.kinds()}
    assert not told & LEFT_OUT


def test_nothing_happened() -> None:
    """No entries, no rows, no messages."""
    assert rows(()) == ()
    assert transcript(()) == ()


def test_a_night_reads_as_it_was() -> None:
    """The story in order, with due times in the reader's zone and people by their full names."""
    found = rows(story(), people={"bob": "Bob Brown"}, zone=ZoneInfo("Europe/Berlin"))
    told = texts(found)
    assert set(TOLD) <= set(told)
    assert [row.at for row in found] == sorted(row.at for row in found)


def test_chat_is_not_on_the_timeline() -> None:
    """Chat lines are for the transcript; a vote and the approval that it makes are one row."""
    told = texts(rows(story()))
    assert not any("customers say" in text for text in told)
    assert sum("approved #7" in text for text in told) == 1
    assert sum("#9" in text for text in told) == 2  # asked for and denied, without the vote that denied it


def test_late_facts_stand_where_they_happened() -> None:
    """Rows go by when it happened, ties by the order of the log."""
    log = Log()
    log.opened(0, "grace", since=at(-40))
    log.add(e.NoteAdded, 5, "bob", text="second")
    log.add(e.NoteAdded, 5, "bob", text="third")
    log.add(e.NoteAdded, -30, "bob", text="imported")
    told = texts(rows(log.entries))
    assert [text.rpartition(" ")[2] for text in told] == ["grace", "imported", "down", "second", "third"]
    shuffled = [log.entries[index] for index in (3, 1, 0, 2)]
    assert texts(rows(shuffled)) == told


def test_an_edited_note_shows_its_newest_text_and_the_earlier_ones() -> None:
    """The command word of the edited message is no part of the note."""
    log = Log()
    log.opened()
    log.add(e.NoteAdded, 1, "bob", text="memory full", message_id="m1")
    log.edited(2, "bob", "!note memory half full", "m1")
    log.edited(3, "bob", "@watchbell incident note memory is fine", "m1")
    row = rows(log.entries)[-1]
    assert row.quote == "memory is fine"
    assert [revision.text for revision in row.revisions] == ["memory full", "memory half full"]


def test_a_pinned_message_stands_at_its_own_time_and_follows_its_edits() -> None:
    """An edit before the pin is in its text already."""
    log = Log()
    log.opened()
    log.said(1, "carol", "draft", "m1")
    log.edited(2, "carol", "failover works", "m1")
    log.add(
        e.MessagePinned, 5, "bob", message_id="m1", author="carol", text="failover works", written_at=at(1)
    )
    log.edited(6, "carol", "failover works again", "m1")
    row = rows(log.entries)[-1]
    assert row.at == at(1)
    assert row.text == "carol wrote (pinned by bob): failover works again"
    assert [revision.text for revision in row.revisions] == ["failover works"]


def test_pinned_twice_is_one_row_and_unpinned_is_none() -> None:
    """What counts is whether the pin is there in the end."""
    log = Log()
    log.opened()
    pin = {"message_id": "m1", "author": "carol", "text": "here", "written_at": at(1)}
    log.add(e.MessagePinned, 2, "bob", **pin)
    log.add(e.MessagePinned, 3, "alice", **pin)
    assert len(rows(log.entries)) == 2
    log.add(e.MessageUnpinned, 4, "bob", message_id="m1")
    assert len(rows(log.entries)) == 1
    log.add(e.MessagePinned, 5, "alice", **pin)
    assert rows(log.entries)[-1].lead == "carol wrote (pinned by alice)"


def test_a_pin_without_an_id_is_a_row() -> None:
    """Found by the exports' tests: an empty id is an id."""
    log = Log()
    log.opened()
    log.add(e.MessagePinned, 2, "bob", message_id="", author="carol", text="here")
    assert rows(log.entries)[-1].text == "carol wrote (pinned by bob): here"


def test_a_deleted_note_leaves_a_tombstone() -> None:
    """That something was there stays, what it said does not."""
    log = Log()
    log.opened()
    log.add(e.NoteAdded, 1, "bob", text="wrong channel", message_id="m1")
    log.edited(2, "bob", "!note wrong channel, sorry", "m1")
    log.deleted(3, "bob", "m1")
    row = rows(log.entries)[-1]
    assert (row.text, row.gone, row.revisions) == ("bob noted, deleted 01:34 UTC", "deleted", ())


def test_38_scrubbed_text_is_gone_from_rows_and_transcript() -> None:
    """By message and by position, edits included, whether or not the store has blanked it already."""
    log = Log()
    log.opened()
    log.said(1, "bob", "hunter2", "m1", files=("hunter2.txt",))
    note = log.add(e.NoteAdded, 1, "bob", text="hunter2", message_id="m1")
    log.edited(2, "bob", "hunter2!", "m1")
    update = log.add(e.Updated, 3, "bob", text="the password was hunter2")
    log.scrubbed(4, "carol", "m1", note, update)
    assert "hunter2" not in repr(rows(log.entries)) + repr(transcript(log.entries))
    [message] = transcript(log.entries)
    assert (message.gone, message.scrubbed_at, message.scrubbed_by) == ("scrubbed", at(4), "carol")
    assert [row.gone for row in rows(log.entries)] == ["", "scrubbed", "scrubbed"]


def test_alert_rows_carry_their_link() -> None:
    """The alert's own page, to be followed from the post-mortem."""
    row = next(row for row in rows(story()) if row.kind == "alert")
    assert row.links == (
        ("RedisDown at alertmanager", "https://prometheus.company.com/graph?g0.expr=redis_up&g0.tab=1"),
    )


def test_threads_stand_under_what_they_answer() -> None:
    """Replies nest one deep, in order, whatever they answer within the thread."""
    log = Log()
    log.said(1, "grace", "frozen", "m1")
    log.said(2, "bob", "unrelated", "m2")
    log.said(3, "bob", "same here", "m3", thread="m1")
    log.said(4, "carol", "me too", "m4", thread="m3")
    first, second = transcript(log.entries)
    assert [reply.text for reply in first.replies] == ["same here", "me too"]
    assert second.replies == ()


def test_a_thread_under_a_card_stands_under_its_first_message() -> None:
    """The bot's own messages are not in the transcript."""
    log = Log()
    log.said(1, "bob", "about this card", "m1", thread="card")
    log.said(2, "carol", "yes?", "m2", thread="card")
    [message] = transcript(log.entries)
    assert [reply.text for reply in message.replies] == ["yes?"]


def test_an_incident_that_lives_in_a_thread_is_no_single_thread() -> None:
    """In the fallback of ChannelBound, its own thread is the channel."""
    log = Log()
    log.add(e.ChannelBound, 0, platform="console", channel="ops", name="ops", thread="root")
    log.said(1, "bob", "one", "m1", thread="root")
    log.said(2, "carol", "two", "m2", thread="root")
    assert [message.text for message in transcript(log.entries)] == ["one", "two"]


def test_edits_and_deletions_in_the_transcript() -> None:
    """Revisions with their times; a deletion takes them along."""
    log = Log()
    log.said(1, "bob", "one", "m1")
    log.edited(2, "bob", "two", "m1")
    log.edited(3, "bob", "three", "m1")
    [message] = transcript(log.entries)
    assert (message.text, message.edited_at) == ("three", at(3))
    assert [(revision.at, revision.text) for revision in message.revisions] == [
        (at(1), "one"),
        (at(2), "two"),
    ]
    log.deleted(4, "carol", "m1")
    [message] = transcript(log.entries)
    assert (message.text, message.revisions, message.gone, message.deleted_by) == ("", (), "deleted", "carol")
    assert message.author == "bob"


def test_an_import_brings_a_message_after_its_edit() -> None:
    """`--since` reads the past: the text that was edited stays the newest."""
    log = Log()
    log.edited(5, "bob", "new", "m1")
    log.said(-10, "bob", "old", "m1", late=True)
    log.said(-10, "bob", "old", "m1", late=True)
    [message] = transcript(log.entries)
    assert (message.at, message.text, message.late) == (at(-10), "new", True)
    assert [revision.text for revision in message.revisions] == ["old"]


_ids = st.sampled_from(["m1", "m2", "m3", "card"])


@st.composite
def conversations(draw: st.DrawFn) -> list[Entry]:
    """Messages, edits, deletions and scrubs in any order, with threads that may run in circles."""
    log = Log()
    for _ in range(draw(st.integers(0, 12))):
        minutes, author, message = draw(st.integers(-60, 60)), draw(st.sampled_from("ab")), draw(_ids)
        match draw(st.sampled_from(("said", "edited", "deleted", "scrubbed"))):
            case "said":
                log.said(minutes, author, draw(st.text()), message, thread=draw(st.none() | _ids))
            case "edited":
                log.edited(minutes, author, draw(st.text()), message)
            case "deleted":
                log.deleted(minutes, author, message)
            case _:
                log.scrubbed(minutes, author, message)
    return log.entries


@given(conversations())
def test_every_message_is_in_the_transcript_once(entries: list[Entry]) -> None:
    """No order, no circle of threads and no double delivery loses or doubles one."""
    found = transcript(entries)
    everyone = [m.message_id for top in found for m in (top, *top.replies)]
    seen = {
        entry.event.message_id
        for entry in entries
        if isinstance(entry.event, e.MessagePosted | e.MessageEdited | e.MessageDeleted)
    }
    assert sorted(everyone) == sorted(seen)
    assert all(not reply.replies for top in found for reply in top.replies)
    assert [m.at for m in found] == sorted(m.at for m in found)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (41, "41 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (4320, "1 h 12 min"),
        (86400, "1 d"),
        (-90, "-1 min 30 s"),
    ],
)
def test_durations(seconds: float, told: str) -> None:
    """At most two units, none of them zero."""
    assert span(seconds) == told


def test_times_at_the_ends_of_the_calendar() -> None:
    """A zone cannot be told there, which is no reason to fail."""
    log = Log()
    log.opened()
    first = log.entries[0].event
    edge = first.at.replace(year=9999, month=12, day=31, hour=23)
    log.add(e.EtaSet, 1, "bob", eta=edge)
    log.add(e.Snoozed, 1, "bob", until=edge - timedelta(days=1))
    assert "31 Dec 9999" in rows(log.entries, zone=ZoneInfo("Asia/Tokyo"))[1].text


def test_channels_do_not_mix_messages() -> None:
    """Ids are a channel's own (after a merge the log may hold two)."""
    log = Log()
    log.said(1, "bob", "here", "m1")
    log.said(2, "bob", "there", "m1", channel=f"{CHANNEL}-2")
    assert [message.text for message in transcript(log.entries)] == ["here", "there"]
