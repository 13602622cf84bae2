"""Slack's published limits, and its rate limits by the stand-in's clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

# Messages (api.slack.com/methods/chat.postMessage, chat.update; reference/block-kit/blocks).
TEXT = 40_000
UPDATED_TEXT = 4_000
MESSAGE_BLOCKS = 50
ALL_BLOCKS_TEXT = 13_000  # not published; github.com/slackapi/bolt-js/issues/2509 measured 13,172 to 13,297
METADATA = 8_000  # bytes as JSON

# Block Kit (reference/block-kit/blocks, block-elements, composition-objects).
SECTION_TEXT = 3_000
FIELD_TEXT = 2_000
FIELDS = 10
HEADER_TEXT = 150
MARKDOWN_TEXT = 12_000
CONTEXT_ELEMENTS = 10
ACTION_ELEMENTS = 25
IDENTIFIER = 255  # block_id, action_id, callback_id, external_id
BUTTON_TEXT = 75
BUTTON_VALUE = 2_000
OPTIONS = 100
OPTION_TEXT = 75
OPTION_VALUE = 150
PLACEHOLDER = 150
LABEL = 2_000
URL = 3_000
INPUT_VALUE = 3_000

# Views (reference/surfaces/views).
VIEW_BLOCKS = 100
VIEW_TITLE = 24
VIEW_METADATA = 3_000
VIEW_SIZE = 250_000  # bytes
VIEW_STACK = 3
TRIGGER_SECONDS = 3

# Conversations (methods/conversations.create, setTopic, pins.add, bookmarks.add).
CHANNEL_NAME = 80
TOPIC = 250
PINS = 100
BOOKMARKS = 100
INVITED = 1_000

# Calls a minute by tier (apis/web-api/rate-limits), and the posts that one channel takes in a row.
TIERS = {1: 1, 2: 20, 3: 50, 4: 100}
MINUTE = 60.0
POST_BURST = 5


class RateLimits:
    """Who called what how often; everything passes while `on` is False."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.reset(on=False)

    def reset(self, *, on: bool) -> None:
        """Forget every call, and limit from now on or not."""
        self.on = on
        self._calls: dict[str, deque[float]] = {}
        self._posts: dict[str, tuple[float, float]] = {}  # by channel: tokens left, and when that was

    def call(self, method: str, tier: int | None) -> int:
        """Count a call; 0 where it may pass, else the whole seconds of Retry-After. Tier None: no limit."""
        if not self.on or tier is None:
            return 0
        calls, now = self._calls.setdefault(method, deque()), self._now()
        while calls and calls[0] <= now - MINUTE:
            calls.popleft()
        if len(calls) >= TIERS[tier]:
            return max(1, math.ceil(calls[0] + MINUTE - now))
        calls.append(now)
        return 0

    def post(self, channel: str) -> int:
        """Count a message into a channel: one a second, a few more in a row; as `call`."""
        if not self.on:
            return 0
        now = self._now()
        left, then = self._posts.get(channel, (float(POST_BURST), now))
        left = min(float(POST_BURST), left + now - then)
        if left < 1:
            self._posts[channel] = (left, now)
            return max(1, math.ceil(1 - left))
        self._posts[channel] = (left - 1, now)
        return 0
