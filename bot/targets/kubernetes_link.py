"""The way to one Kubernetes cluster: each request once, within its limits, and what failures mean.

The connection, its certificates and its tokens are those of `kubernetes.aio`. Objects are read as plain JSON, within
a limit: its models refuse objects that lack a field, and read an answer of any size into memory.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from weakref import WeakSet

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient

from bot.targets import kubernetes_wire as wire
from bot.targets.guard import UnreachableError
from bot.targets.kubernetes_exec import Ran, ran
from bot.targets.kubernetes_rights import Right
from bot.targets.kubernetes_wire import Json
from commands.actions import TargetError
from incidents.wording import span


class Link:
    """One cluster."""

    def __init__(
        self, name: str, way: wire.Way, *, timeout: float, redact: Callable[[str], str] = lambda text: text
    ) -> None:
        self.name, self.way = name, way
        self._redact = redact
        self.title = "Kubernetes" if name == "kubernetes" else f"Kubernetes {name}"
        self._timeout = timeout
        self._client: ApiClient | None = None
        self._let_in: WeakSet[ApiClient] = WeakSet()  # those that were not refused
        self._retired: ApiClient | None = None  # whose token is too old; answers may still come by it
        self._opening = asyncio.Lock()

    # -- looking ----------------------------------------------------------------------------------

    async def get(self, where: str, **query: str | int) -> Json:
        """An object; MissingError, TargetError or UnreachableError."""
        wire.allow(wire.LOOKS, where)
        return await self._look("GET", where, query)

    async def items(self, where: str, **query: str | int) -> list[Json]:
        """Every object of a list, page by page; a list that has become too old is begun anew, once."""
        wire.allow(wire.LOOKS, where)
        for again in (False, True):
            try:
                return await self._pages(where, query)
            except wire.ExpiredError as error:
                if again:
                    raise TargetError(f"{self.title} changes faster than it can be listed.") from error
        raise AssertionError("never")

    async def _pages(self, where: str, query: Mapping[str, str | int]) -> list[Json]:
        found: list[Json] = []
        more: dict[str, str | int] = {}
        while True:
            page = await self._look("GET", where, {**query, "limit": wire.PAGE, **more})
            items = page.get("items") or []
            if not isinstance(items, list):
                raise UnreachableError(f"{self.title} sent an answer that is none of Kubernetes.")
            found += [each for each in items if isinstance(each, dict)]
            token = (page.get("metadata") or {}).get("continue")
            if not token or len(found) >= wire.MOST_ITEMS:
                return found
            more = {"continue": str(token)}

    async def stream(self, where: str, **query: str | int) -> AsyncGenerator[bytes, None]:
        """A log as it comes, piece by piece; whoever has enough closes it. Fails as `get` does."""
        wire.allow(wire.LOOKS, where)
        try:
            response = await self._begun("GET", where, query, accept="*/*")
            try:
                if response.status != 200:
                    raise self.failure(response.status, await wire.read(response, wire.MOST_BYTES, cut=True))
                async for chunk in response.content.iter_chunked(65_536):
                    yield chunk
            finally:
                response.close()
        except wire.BROKEN as error:
            raise self._unreachable(error) from error

    async def may(self, right: Right, namespace: str) -> bool:
        """Whether the bot has a right (SelfSubjectAccessReview)."""
        resource, _, sub = right.resource.partition("/")
        asked = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": sub}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**asked, "namespace": namespace}},
        }
        found = await self._look(
            "POST", wire.path("authorization.k8s.io/v1", "", "selfsubjectaccessreviews"), {}, review
        )
        return bool((found.get("status") or {}).get("allowed"))

    async def _look(
        self, method: str, where: str, query: Mapping[str, str | int], body: object = None
    ) -> Json:
        try:
            status, answer = await self._send(method, where, query, body=body)
        except wire.BROKEN as error:
            raise self._unreachable(error) from error
        if status not in (200, 201):
            raise self.failure(status, answer)
        return self._document(answer)

    async def run(self, where: str, argv: Sequence[str], container: str, *, ends: float) -> Ran:
        """What a fixed command in a container writes, for `ends` seconds at most; sent once.

        TargetError where it cannot be begun.
        """
        wire.allow(wire.RUNS, where)
        api = await self._connected()
        try:
            return await ran(api, where, argv, container, answers=self._timeout, ends=ends)
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 403:  # the library keeps no body of such an answer
                lacks = "the role lacks get or create of pods/exec"
                raise TargetError(
                    f"{self.title} does not allow me to run anything in that pod: {lacks}."
                ) from error
            raise self.failure(error.status, b"") from error
        except wire.BROKEN as error:
            raise self._unreachable(error) from error

    # -- changing ---------------------------------------------------------------------------------

    async def change(
        self, method: str, where: str, body: object, *, mark: str, kind: str = wire.MERGE, dry: bool = False
    ) -> Json:
        """Send a change, once; `mark` stays with the fields that it writes (fieldManager).

        TargetError: the cluster said no, and nothing was changed. ConflictError: the object had moved.
        BrokenError: nobody knows. With `dry` it is only checked; PreviewError where that cannot be.
        """
        wire.allow(wire.CHANGES, where)
        query: dict[str, str | int] = {"fieldManager": mark, **({"dryRun": "All"} if dry else {})}
        try:
            status, answer = await self._send(method, where, query, body=body, kind=kind)
        except wire.BROKEN as error:
            if dry:
                raise wire.PreviewError(self.broken(error)) from error
            if isinstance(error, aiohttp.ClientConnectorError):
                raise self._unreachable(error) from error  # there was no connection yet
            what = "no answer came" if isinstance(error, TimeoutError) else "the connection broke"
            what = "an answer came that I do not take" if isinstance(error, wire.TooLongError) else what
            raise wire.BrokenError(f"{what} after the request was sent") from error
        if status in (200, 201):
            return self._told(answer, dry=dry)
        if dry and (status >= 500 or (status == 400 and "dry run" in self._said(answer))):
            raise wire.PreviewError(self._said(answer) or f"it answered {status}")
        if status >= 500:
            raise wire.BrokenError(
                f"Kubernetes answered {status} ({self._said(answer) or 'no word'}) to the request"
            )
        raise self.failure(status, answer)

    def _told(self, answer: bytes, *, dry: bool) -> Json:
        try:
            return self._document(answer)
        except UnreachableError as error:
            if dry:
                raise wire.PreviewError("an answer came that is none of Kubernetes") from error
            raise wire.BrokenError(
                "an answer came that nobody understands after the request was sent"
            ) from error

    # -- the connection ---------------------------------------------------------------------------

    async def stop(self) -> None:
        """Close every connection."""
        for api in (self._client, self._retired):
            if api is not None:
                await api.close()  # type: ignore[no-untyped-call]
        self._client = self._retired = None

    async def _retire(self, api: ApiClient) -> None:
        """Have the next request go by a client of its own; the one before this is closed."""
        if self._client is api:
            old, self._retired, self._client = self._retired, api, None
            if old is not None:
                await old.close()  # type: ignore[no-untyped-call]

    async def verifies(self) -> bool:
        """Whether the cluster's certificate is looked at."""
        return bool((await self._connected()).configuration.verify_ssl)

    async def _connected(self) -> ApiClient:
        try:
            async with asyncio.timeout(self._timeout), self._opening:
                if self._client is None:
                    self._client = await wire.connected(self.way)
                return self._client
        except TimeoutError as error:
            told = f"its credentials did not come within {span(self._timeout)}"
            raise UnreachableError(f"{self.title} is not reached: {told}.") from error
        except (config.ConfigException, OSError, ValueError) as error:
            raise UnreachableError(
                f"{self.title} is not reached: {wire.clean(self._redact(str(error)))}."
            ) from error

    async def _send(
        self,
        method: str,
        where: str,
        query: Mapping[str, str | int],
        *,
        body: object = None,
        kind: str = "application/json",
    ) -> tuple[int, bytes]:
        """Status and body of one request, which is sent once and redirected nowhere."""
        response = await self._begun(method, where, query, body=body, kind=kind)
        try:
            return response.status, await wire.read(response, wire.MOST_BYTES, cut=False)
        finally:
            response.release()

    async def _begun(
        self,
        method: str,
        where: str,
        query: Mapping[str, str | int],
        *,
        body: object = None,
        kind: str = "application/json",
        accept: str = "application/json",
    ) -> aiohttp.ClientResponse:
        """The answer to one request, of which nothing but its head has been read.

        The tokens of plugins and files run out: where one that was let in before is refused now, which changes
        nothing, the request is sent once more with a new one.
        """
        while True:
            api = await self._connected()
            response = await self._asked(api, method, where, query, body=body, kind=kind, accept=accept)
            if response.status != 401:
                self._let_in.add(api)
                return response
            await self._retire(api)
            if api not in self._let_in:
                return response
            response.release()

    async def _asked(
        self,
        api: ApiClient,
        method: str,
        where: str,
        query: Mapping[str, str | int],
        *,
        body: object,
        kind: str,
        accept: str,
    ) -> aiohttp.ClientResponse:
        url: str
        method, url, headers, sent, _ = await api.param_serialize(
            method,
            where,
            query_params=list(query.items()),
            header_params={"Accept": accept, "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
        )
        limit = aiohttp.ClientTimeout(total=self._timeout)
        answer = await api.call_api(method, url, headers, sent, _request_timeout=limit)
        response: aiohttp.ClientResponse = answer.response
        if response.history:
            response.close()
            raise aiohttp.ClientPayloadError("redirected")
        return response

    # -- what failures mean -----------------------------------------------------------------------

    def failure(self, status: int, body: bytes) -> TargetError:
        """What a refusal means, in a sentence."""
        said = self._said(body)
        match status:
            case 401:
                return UnreachableError(f"{self.title} does not let me in: it refuses the token.")
            case 403 if found := wire.CANNOT.search(said):
                verb, resource, namespace = found.groups()
                where = f" in {namespace}" if namespace else ""
                return TargetError(
                    f"{self.title} does not allow me to {verb} {resource}{where}; "
                    "`watchbell manifest rbac` prints the role that does."
                )
            case 404:
                return wire.MissingError(f"{self.title} has none: {said or 'not found'}.")
            case 409:
                return wire.ConflictError(
                    f"{self.title}: it was changed by somebody else at the same moment."
                )
            case 410:
                return wire.ExpiredError(f"{self.title} changed while it was listed.")
            case 429 if "disruption" in body.decode("utf-8", "replace").casefold():
                return TargetError(
                    f"{self.title} lets no such pod go now: {wire.clean(self._redact(wire.budget(body))) or said}."
                )
            case 429:
                return TargetError(
                    f"{self.title} has too much to do and turns requests away; try again later."
                )
            case _ if status >= 500:
                kind = wire.UnavailableError if status == 503 else UnreachableError
                return kind(f"{self.title} answered {status}{f': {said}' if said else ''}.")
        return TargetError(f"{self.title} says no: {said or f'it answered {status}'}.")

    def broken(self, error: BaseException) -> str:
        """What is wrong with the way there, as the rest of a sentence."""
        if isinstance(error, TimeoutError):
            return f"did not answer within {span(self._timeout)}"
        if isinstance(error, wire.TooLongError):
            return f"sent an answer of more than {wire.MOST_BYTES // 1024**2} MB, which I do not take"
        causes = list(wire.causes(error))
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return "shows a certificate that I do not trust"
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return "and I do not come to terms about TLS"
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return "is not to be found: nothing is known of its host"
        if isinstance(error, aiohttp.ClientConnectorError):
            return "does not answer: the connection is refused"
        if isinstance(error, aiohttp.ClientPayloadError):
            return "broke off in the middle of its answer"
        return "does not answer: the connection broke"

    def _said(self, body: bytes) -> str:
        """What a refusal says, without secrets: it may repeat what was sent, or what is stored."""
        return wire.clean(
            self._redact(wire.message(body))
        )  # before it is cut: half of a secret shows as text

    def _unreachable(self, error: BaseException) -> UnreachableError:
        return UnreachableError(f"{self.title} {self.broken(error)}.")

    def _document(self, body: bytes) -> Json:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UnreachableError(f"{self.title} sent an answer that is none of Kubernetes.") from error
        if not isinstance(found, dict):
            raise UnreachableError(f"{self.title} sent an answer that is none of Kubernetes.")
        return found
