"""OpenAPI 3.1 description of the service, made from the structs that read and write."""

from importlib.metadata import version
from typing import Any

import msgspec

from recfunnel.serve import wire

_ERRORS = {
    "400": "a field breaks a rule; the message names both",
    "413": "the body is larger than the limit",
    "415": "a content type or encoding that is not read",
    "422": "the plan does not know an item, or ranks fewer candidates",
    "500": "the question could not be ranked; the server's log has the reason",
    "503": "turned away, since no path could have answered in time, or not ready",
}


def description() -> dict[str, Any]:
    """The whole document, as plain data."""
    asked = (wire.Question, wire.Bulk)
    told = (wire.Answer, wire.BulkAnswer, wire.Failed)
    schemas, components = msgspec.json.schema_components(
        (*asked, *told), ref_template="#/components/schemas/{name}"
    )
    question, bulk, answer, bulk_answer, failed = schemas
    health = {"200": _plain("it does"), "503": _plain("it does not")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "recfunnel",
            "version": version("recfunnel"),
            "description": "Ranks items for whoever asks, inside a deadline.",
        },
        "paths": {
            "/v1/rank": {
                "post": {
                    "operationId": "rank",
                    "summary": "Rank candidates, or the whole catalogue.",
                    "requestBody": {"required": True, "content": _json(question)},
                    "responses": {"200": _body("ranked items", answer)} | _failures(failed),
                }
            },
            "/v1/rank/bulk": {
                "post": {
                    "operationId": "rankBulk",
                    "summary": "Several questions at once.",
                    "requestBody": {"required": True, "content": _json(bulk)},
                    "responses": {"200": _body("one entry a question", bulk_answer)}
                    | _failures(failed),
                }
            },
            "/v2/health/live": {"get": _get("live", "Whether the process answers.", health)},
            "/v2/health/ready": {"get": _get("ready", "Whether it takes questions.", health)},
            "/metrics": {
                "get": _get("metrics", "Figures for Prometheus.", {"200": _plain("the figures")})
            },
        },
        "components": {"schemas": components},
    }


def _get(operation: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": operation, "summary": summary, "responses": responses}


def _plain(meaning: str) -> dict[str, Any]:
    return {"description": meaning}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _body(meaning: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": _json(schema)}


def _failures(schema: dict[str, Any]) -> dict[str, Any]:
    return {status: _body(meaning, schema) for status, meaning in _ERRORS.items()}
