"""The published schema of a result."""

import json

import jsonschema

from ringfence import Denial, Usage, _schema


def test_schema_is_valid() -> None:
    """The schema is one."""
    jsonschema.Draft202012Validator.check_schema(json.loads(_schema.result_schema()))


def test_schema_names_the_fields_of_the_values() -> None:
    """Usage and Denial have the same fields in Python and in JSON, in the same order."""
    properties = json.loads(_schema.result_schema())["properties"]

    assert list(Usage.__slots__) == list(properties["usage"]["properties"])
    assert list(Denial.__slots__) == list(properties["denials"]["items"]["properties"])
