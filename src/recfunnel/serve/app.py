"""The service over HTTP: reads requests, asks the ranking, writes answers."""

import logging
from collections.abc import Awaitable, Callable

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from recfunnel.core.errors import InvalidInput
from recfunnel.serve import inference, wire
from recfunnel.serve.metrics import CONTENT_TYPE, Metrics
from recfunnel.serve.openapi import description
from recfunnel.serve.page import status_page
from recfunnel.serve.ranking import Ranking
from recfunnel.serve.service import Closed, Overloaded

_log = logging.getLogger("recfunnel.serve")

_JSON = "application/json"
_BYTES = "application/octet-stream"

Handler = Callable[[Request], Awaitable[Response]]


class HttpService:
    """The routes of one process.

    Args:
        ranking: answers.
        metrics: shown.
        body_bytes: longest body of a request.
    """

    def __init__(self, ranking: Ranking, metrics: Metrics, body_bytes: int) -> None:
        self._ranking, self._metrics, self._body_bytes = ranking, metrics, body_bytes
        self.is_ready, self.is_leaving = False, False
        self._openapi = wire.encode(description())

    def app(self) -> Starlette:
        """An ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/rank", self._answered(self._rank), methods=["POST"]),
                Route("/v1/rank/bulk", self._answered(self._rank_bulk), methods=["POST"]),
                Route("/v2", self._server),
                Route("/v2/models/{model}", self._model),
                Route("/v2/models/{model}/ready", self._model_ready),
                Route("/v2/models/{model}/infer", self._answered(self._infer), methods=["POST"]),
                Route("/v2/health/live", self._live),
                Route("/v2/health/ready", self._ready),
                Route("/metrics", self._show_metrics),
                Route("/openapi.json", self._describe),
                Route("/", self._page),
            ],
            exception_handlers={HTTPException: _http_error, Exception: _internal_error},
        )

    def _answered(self, handler: Handler) -> Handler:
        """What goes wrong becomes an answer with the right status."""

        async def answer(request: Request) -> Response:
            response = await told(request)
            if self.is_leaving:  # the client opens its next connection to somebody who stays
                response.headers["Connection"] = "close"
            return response

        async def told(request: Request) -> Response:
            try:
                return await handler(request)
            except (msgspec.ValidationError, InvalidInput) as error:
                return failed(400, str(error))
            except msgspec.DecodeError as error:
                return failed(400, f"the body is no valid JSON: {error}")
            except (Overloaded, Closed) as error:
                return failed(503, str(error), {"Retry-After": "1"})
            except _Refused as refusal:
                return failed(refusal.status, str(refusal))
            except ClientDisconnect:
                return Response(status_code=499)

        return answer

    async def _rank(self, request: Request) -> Response:
        question = wire.decode_question(await self._body(request, (_JSON,)))
        return _told(await self._ranking.answer(question))

    async def _rank_bulk(self, request: Request) -> Response:
        bulk = wire.decode_bulk(await self._body(request, (_JSON,)))
        return _told(await self._ranking.answer_all(bulk))

    async def _infer(self, request: Request) -> Response:
        _check_model(request)
        body = await self._body(request, (_JSON, _BYTES))
        asked, questions = inference.read_request(body, request.headers.get(inference.HEADER))
        answers = await self._ranking.answer_each(questions)
        told, header = inference.response(asked, answers, self._ranking.plan)
        if header is None:
            return Response(told, media_type=_JSON)
        return Response(told, headers={inference.HEADER: header}, media_type=_BYTES)

    async def _server(self, _: Request) -> Response:
        return _told(inference.server_metadata())

    async def _model(self, request: Request) -> Response:
        _check_model(request)
        return _told(inference.model_metadata(self._ranking.plan, texts=self._ranking.texts))

    async def _model_ready(self, request: Request) -> Response:
        _check_model(request)
        return await self._ready(request)

    async def _body(self, request: Request, kinds: tuple[str, ...]) -> bytes:
        """The body, no longer than allowed.

        Raises:
            _Refused: too long, compressed, or of another type.
        """
        kind = request.headers.get("content-type", kinds[0]).partition(";")[0].strip().lower()
        if kind not in kinds:
            raise _Refused(415, f"content type is {kind!r}, must be {' or '.join(kinds)}")
        coding = request.headers.get("content-encoding", "identity")
        if coding != "identity":
            raise _Refused(415, f"content encoding is {coding!r}; send the body uncompressed")
        limit = self._body_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise _Refused(413, _too_long(limit))
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _Refused(413, _too_long(limit))
            parts.append(part)
        return b"".join(parts)

    async def _live(self, _: Request) -> Response:
        return Response()

    async def _ready(self, _: Request) -> Response:
        return Response(status_code=200 if self.is_ready and not self.is_leaving else 503)

    async def _show_metrics(self, _: Request) -> Response:
        text = self._metrics.text(self._ranking.service.num_unanswered)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    async def _describe(self, _: Request) -> Response:
        return Response(self._openapi, media_type=_JSON)

    async def _page(self, _: Request) -> Response:
        return Response(status_page(self._ranking), media_type="text/html")


class _Refused(Exception):  # noqa: N818 - reads as what happened
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _check_model(request: Request) -> None:
    name = request.path_params["model"]
    if name != inference.MODEL:
        raise HTTPException(404, f"no model {name!r}; this service has {inference.MODEL!r}")


def failed(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """An error as every client of the service reads it."""
    return Response(wire.encode(wire.Failed(error=message)), status, headers, _JSON)


def _told(value: object) -> Response:
    return Response(wire.encode(value), media_type=_JSON)


def _too_long(limit: int) -> str:
    return f"the body is longer than {limit} bytes; send less, or several requests"


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and error.detail == "Not Found":
        return failed(404, f"there is nothing at {request.url.path}; see /openapi.json")
    if error.status_code == 405:
        return failed(
            405, f"{request.method} is not for {request.url.path}", dict(error.headers or {})
        )
    return failed(error.status_code, error.detail)


async def _internal_error(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return failed(500, "the question could not be ranked; the server's log has the reason")
