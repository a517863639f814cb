"""Checks dashboards against Grafana's schema: validate.py FILE… Prints what is wrong, and fails if anything is.

With --strip it takes descriptions and defaults out of a schema that was just made, which are two thirds of it.
"""

import json
import pathlib
import sys

SCHEMA = pathlib.Path(__file__).with_name("dashboard.schema.json")
# What Grafana's Prometheus data source keeps in an annotation, beside what every data source has.
OF_PROMETHEUS = {"expr", "step", "titleFormat", "textFormat", "tagKeys"}


def stripped(schema):
    if isinstance(schema, list):
        return [stripped(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    # A property that is called `description` is an object.
    dropped = {"default"} | {key for key in ["description"] if isinstance(schema.get(key), str)}
    return {key: stripped(value) for key, value in schema.items() if key not in dropped}


def strip():
    schema = json.loads(SCHEMA.read_text())
    kept = {
        "$schema": schema["$schema"],
        "$comment": "From the types of @grafana/schema (Apache-2.0), by README.md. Descriptions are left out.",
        "definitions": stripped(schema["definitions"]),
    }
    SCHEMA.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def parts(dashboard):
    """Each part of a dashboard with the type that it has to have."""
    head = {key: value for key, value in dashboard.items() if key != "panels"}
    marks = [
        {key: value for key, value in mark.items() if key not in OF_PROMETHEUS}
        for mark in head["annotations"]["list"]
    ]
    yield "dashboard", head["title"], dict(head, annotations={"list": marks})
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield "row", panel["title"], panel
            continue
        yield "panel", panel["title"], panel
        own = {"options": panel["options"]}
        if "custom" in panel["fieldConfig"]["defaults"]:
            own["custom"] = panel["fieldConfig"]["defaults"]["custom"]
        yield panel["type"], panel["title"], own


def wrong(file, definitions):
    import jsonschema

    for kind, title, value in parts(json.loads(file.read_text())):
        if kind not in definitions["Root"]["properties"]:
            yield f"{file}: {title}: unknown type of panel {kind}"
            continue
        schema = {"$ref": f"#/definitions/Root/properties/{kind}", "definitions": definitions}
        for error in jsonschema.Draft7Validator(schema).iter_errors(value):
            yield f"{file}: {title}: {'.'.join(map(str, error.path))}: {error.message}"


def main():
    if sys.argv[1:] == ["--strip"]:
        strip()
        return
    definitions = json.loads(SCHEMA.read_text())["definitions"]
    found = [line for name in sys.argv[1:] for line in wrong(pathlib.Path(name), definitions)]
    print("\n".join(found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
