"""Strict reading of manifests: what an API server would quietly drop is an error here."""

import json
from pathlib import Path
from typing import Any

# Not ours to copy into the repository: they lie beside a developer's checkout.
FOLDER = Path(__file__).resolve().parents[4] / "shared" / "k8s-schemas"
VERSIONS = ("1.9", "1.12", "1.14", "1.20")

_PREFIX = "#/definitions/"
# Numbers with a unit, and ports by number or name.
_TEXT_OR_NUMBER = ("io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.util.intstr.IntOrString")


class Schemas:
    """Of one Kubernetes version."""

    def __init__(self, version: str) -> None:
        self._definitions: dict[str, Any] = json.loads((FOLDER / f"{version}.json").read_text())["definitions"]
        self._kinds = {
            (f"{kind['group']}/{kind['version']}".lstrip("/"), kind["kind"]): name
            for name, definition in self._definitions.items()
            for kind in definition.get("x-kubernetes-group-version-kind", [])
        }

    def errors(self, manifest: dict[str, Any]) -> list[str]:
        """What is wrong with it, each with the path to it."""
        kind = (manifest.get("apiVersion", ""), manifest.get("kind", ""))
        if kind not in self._kinds:
            return [f"there is no {kind[1]} in {kind[0]}"]
        return self._check({"$ref": _PREFIX + self._kinds[kind]}, manifest, kind[1])

    def _check(self, schema: dict[str, Any], value: Any, path: str) -> list[str]:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(_PREFIX)
            if name in _TEXT_OR_NUMBER:
                return [] if isinstance(value, str | int | float) else [f"{path}: neither text nor a number"]
            return self._check(self._definitions[name], value, path)
        if "properties" in schema or schema.get("type") == "object":
            return self._check_object(schema, value, path)
        if schema.get("type") == "array":
            if not isinstance(value, list):
                return [f"{path}: no list"]
            return [error for i, item in enumerate(value) for error in self._check(schema["items"], item, f"{path}[{i}]")]
        return self._check_plain(schema.get("type"), value, path)

    def _check_object(self, schema: dict[str, Any], value: Any, path: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{path}: no object"]
        fields = schema.get("properties", {})
        others = schema.get("additionalProperties")
        errors = [f"{path}.{name} is missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            if name in fields:
                errors += self._check(fields[name], item, f"{path}.{name}")
            elif others is not None:
                errors += self._check(others, item, f"{path}.{name}")
            elif fields:
                errors.append(f"{path}.{name} is unknown")
        return errors

    @staticmethod
    def _check_plain(kind: str | None, value: Any, path: str) -> list[str]:
        good = {
            "string": isinstance(value, str),
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "number": isinstance(value, int | float) and not isinstance(value, bool),
            "boolean": isinstance(value, bool),
        }
        return [] if good.get(kind or "", True) else [f"{path}: {value!r} is no {kind}"]
