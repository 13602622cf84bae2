"""files.*: uploads in three steps, downloads with the bot's token (api.slack.com/messaging/files)."""

from __future__ import annotations

import mimetypes

from aiohttp import web

from tests.servers.slack import limits
from tests.servers.slack.api_chat import checked_blocks, posted
from tests.servers.slack.api_method import ApiError, Call, method
from tests.servers.slack.messages import announce_posted, journal
from tests.servers.slack.shapes import file_shape
from tests.servers.slack.state import File, Json, Workspace


def kind_of(name: str) -> str:
    """The type of a file by its name; text where it tells nothing."""
    return mimetypes.guess_type(name)[0] or "text/plain"


def new_file(workspace: Workspace, user: str, name: str, length: int) -> File:
    """A file without its bytes yet."""
    file = File(
        id=workspace.new_id("F"),
        name=name,
        title=name,
        user=user,
        created=int(workspace.now()),
        length=length,
        mimetype=kind_of(name),
    )
    workspace.files[file.id] = file
    return file


@method(
    "files.getUploadURLExternal", "filename! length!:int alt_txt snippet_type", scope="files:write", tier=4
)
async def get_upload_url(call: Call) -> Json:
    """methods/files.getUploadURLExternal."""
    workspace, length = call.workspace, call.get("length")
    if length <= 0:
        raise ApiError("invalid_arguments", ["[ERROR] length: must be more than 0"])
    name = call.get("filename")
    file = new_file(workspace, workspace.app.bot_user, name, length)
    return {"upload_url": f"{workspace.base_url}/upload/v1/{file.id}", "file_id": file.id}


async def upload(workspace: Workspace, request: web.Request) -> web.Response:
    """POST to the upload_url: the bytes, as they are or as a multipart form with one file."""
    file = workspace.files.get(request.match_info["file"])
    if file is None or file.complete:
        return web.Response(status=404, text="not found")
    if request.content_type == "multipart/form-data":
        form = await request.post()
        parts = [part.file.read() for part in form.values() if isinstance(part, web.FileField)]
        data = parts[0] if parts else b""
    else:
        data = await request.read()
    if len(data) != file.length:
        workspace.violation("upload", "bad_length", f"{len(data)} bytes in place of {file.length}")
        return web.Response(status=400, text="bad length")
    file.data = data
    return web.Response(text=f"OK - {len(data)}")


@method(
    "files.completeUploadExternal",
    "files!:json channel_id channels initial_comment thread_ts blocks:json",
    scope="files:write",
    tier=4,
)
async def complete_upload(call: Call) -> Json:
    """methods/files.completeUploadExternal: one message with the files, in at most one channel here.

    With initial_comment Slack ignores `blocks`. The answer does not say where the files are shared yet:
    files.info does.
    """
    workspace, files = call.workspace, _uploaded(call)
    if call.get("channel_id") is not None:
        channel = call.channel(name="channel_id")
        call.member_of(channel)
        if channel.archived:
            raise ApiError("posting_to_channel_denied")
        comment = call.get("initial_comment") or ""
        if len(comment) > limits.TEXT:
            raise ApiError("msg_too_long")
        shown = [] if comment else checked_blocks(call, call.get("blocks"))
        message = posted(call, channel, text=comment, blocks=shown, files=[f.id for f in files])
        for file in files:
            file.shares.append((channel.id, message.ts))
        journal(workspace, "upload", message)
        announce_posted(workspace, message)
    for file in files:
        file.complete = True
    return {"files": [file_shape(workspace, f) for f in files]}


def _uploaded(call: Call) -> list[File]:
    given = call.get("files")
    if not isinstance(given, list) or not given or not all(isinstance(f, dict) and "id" in f for f in given):
        raise ApiError("invalid_arguments", ["[ERROR] files: must be an array of objects with an id"])
    files = []
    for each in given:
        file = call.workspace.files.get(each["id"])
        if file is None or file.data is None or file.complete:
            raise ApiError("file_not_found")
        file.title = each.get("title") or file.title
        files.append(file)
    return files


@method("files.info", "file! count:int cursor limit:int page:int", scope="files:read", tier=4)
async def files_info(call: Call) -> Json:
    """methods/files.info: a file of the bot's own, or one in a channel that it is in."""
    file, bot = call.workspace.files.get(call.get("file")), call.workspace.app.bot_user
    if file is None or not file.complete:
        raise ApiError("file_not_found")
    if file.user != bot and not any(bot in call.workspace.channels[c].members for c, _ in file.shares):
        raise ApiError("file_not_found")
    shape = file_shape(call.workspace, file, shares=True)
    return {"file": shape, "comments": [], "response_metadata": {"next_cursor": ""}}


async def download(workspace: Workspace, request: web.Request) -> web.Response:
    """GET url_private: the bytes for the bot's token with files:read; anybody else is sent to the log-in."""
    file = workspace.files.get(request.match_info["file"].rpartition("-")[2])
    bearer = request.headers.get("Authorization", "")
    if bearer != f"Bearer {workspace.app.bot_token}" or "files:read" not in workspace.app.scopes:
        workspace.violation("download", "not_authed", request.path)
        raise web.HTTPFound(f"{workspace.base_url}/?redir={request.path}")
    if file is None or file.data is None:
        return web.Response(status=404)
    return web.Response(body=file.data, content_type=file.mimetype)
