"""Checks manifests against the schemas of Kubernetes and of the Prometheus Operator: validate.py FILE…

Unknown fields are errors. Nothing is fetched: the package kubernetes-validate brings the schemas of Kubernetes, and
operator.schema.json lies beside this file (README.md says how it is made). Prints what is wrong, and fails if anything is.
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

OPERATOR = json.loads(pathlib.Path(__file__).with_name("operator.schema.json").read_text())


def wrong(document):
    kind = document["kind"]
    if kind in OPERATOR:
        for error in jsonschema.Draft7Validator(OPERATOR[kind]).iter_errors(document):
            yield f"{'.'.join(map(str, error.path))}: {error.message}"
        return
    try:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path))}: {error.message}"


def main():
    found = []
    for name in sys.argv[1:]:
        documents = [it for it in yaml.safe_load_all(pathlib.Path(name).read_text()) if it]
        if not documents:
            found.append(f"{name}: no document")
        for document in documents:
            found += [f"{name}: {document['kind']}: {line}" for line in wrong(document)]
    print("\n".join(found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
