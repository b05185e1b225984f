"""GraphQL for stand-ins: what the provider's schema does not allow is a violation."""

from __future__ import annotations

from typing import Any

import graphql
from standins.server import Answer, Request, Violation


def executed(schema: graphql.GraphQLSchema, root: object, request: Request) -> Answer:
    """Check a request against the schema, then resolve it by the methods of ``root``."""
    body = request.body
    if request.method != "POST" or request.query or not isinstance(body, dict):
        raise Violation("GraphQL is asked by a POST with a JSON object and no query string")
    if set(body) - {"query", "variables", "operationName"} or not isinstance(body.get("query"), str):
        raise Violation(f"GraphQL takes query, variables and operationName, not {sorted(body)}")
    try:
        document = graphql.parse(body["query"])
    except graphql.GraphQLSyntaxError as error:
        raise Violation(error.message) from None
    if wrong := graphql.validate(schema, document):
        raise Violation(wrong[0].message)
    variables: dict[str, Any] = body.get("variables") or {}
    result = graphql.execute_sync(schema, document, root_value=root, variable_values=variables)
    unexpected = [error for error in result.errors or [] if not isinstance(error.original_error, Refusal)]
    if unexpected:
        raise Violation(unexpected[0].message)
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [refusal(error.message, error.original_error.code) for error in result.errors]
    return Answer(200, answer)


def refusal(message: str, code: str = "INTERNAL_SERVER_ERROR") -> dict[str, Any]:
    """One of the ``errors`` of an answer."""
    return {"message": message, "extensions": {"code": code}}


class Refusal(Exception):
    """The provider refuses, by its contract."""

    def __init__(self, message: str, code: str = "INTERNAL_SERVER_ERROR") -> None:
        super().__init__(message)
        self.code = code
