"""One document of two: the service's within the rules, and ours."""

from typing import Any

from services.gateway.domain.description import TOKEN, demanding, described, schemas_of
from services.gateway.domain.door import Door, Limit, Login, Rule, Shape

DOOR = Door(
    name="crm",
    prefix="/crm",
    root=(),
    repeated="",
    service="crm",
    login=Login.BEARER,
    shape=Shape.ERROR,
    rules=(
        Rule(("GET", "HEAD"), "/visits/{}", "visits:read", Limit.NONE),
        Rule(("GET",), "/files/*", None, Limit.NONE),
        Rule(("POST",), "/users", "users:write", Limit.NONE),
    ),
)


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def document(paths: dict[str, Any], **schemas: Any) -> dict[str, Any]:
    return {"paths": paths, "components": {"schemas": schemas}}


def joined(service: dict[str, Any] | None, own: dict[str, Any]) -> dict[str, Any]:
    return described(DOOR, service, own, base="/crm", version="1")


def test_only_what_a_rule_lets_through_is_described() -> None:
    paths = {
        "/visits/{visit_id}": {"get": {}, "delete": {}, "parameters": ["kept"]},
        "/visits/{visit_id}/secret": {"get": {}},
        "/files/{path}": {"get": {}},
        "/metrics": {"get": {}},
    }

    joint = joined(document(paths), {})["paths"]

    assert joint == {
        "/visits/{visit_id}": {
            "parameters": ["kept"],
            "get": {"security": [{"ApiKey": ["visits:read"]}, {"AccessToken": ["visits:read"]}]},
        },
        "/files/{path}": {"get": {"security": []}},
    }


def test_where_both_answer_it_is_the_service_that_is_described() -> None:
    theirs = document({"/users": {"post": {"summary": "theirs"}}})
    ours = document({"/users": {"post": {"summary": "ours"}, "get": {"summary": "ours"}}})

    joint = joined(theirs, ours)["paths"]["/users"]

    assert {method: said["summary"] for method, said in joint.items()} == {
        "post": "theirs",
        "get": "ours",
    }


def test_schemas_of_one_name_that_differ_are_kept_apart() -> None:
    theirs = document({"/users": {"post": {"x": ref("User")}}}, User={"of": "theirs"}, Same={})
    ours = document(
        {"/auth": {"post": {"x": ref("User"), "y": ref("Same")}}},
        User={"of": "ours", "again": ref("User")},
        Same={},
    )

    joint = joined(theirs, ours)

    assert schemas_of(joint) == {
        "User": {"of": "theirs"},
        "GatewayUser": {"of": "ours", "again": ref("GatewayUser")},
        "Same": {},
    }
    assert joint["paths"]["/auth"]["post"]["x"] == ref("GatewayUser")
    assert joint["paths"]["/users"]["post"]["x"] == ref("User")


def test_an_operation_says_who_may_use_it() -> None:
    for scope, security in ((None, []), ("", [{TOKEN: []}]), ("a:b", [{TOKEN: ["a:b"]}])):
        assert demanding({}, scope, schemes=[TOKEN]) == {"security": security}
