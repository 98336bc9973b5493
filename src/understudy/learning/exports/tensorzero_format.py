"""TensorZero's datapoints: our exchanges in another project's datasets.

Owns their shape: each line is one of the `datapoints` that `POST /v1/datasets/{name}/datapoints`
takes, as its request types and the API reference ("Datasets & Datapoints", "Inference") define
them. Not tried against a running gateway.
"""

from typing import Any

FUNCTION = "understudy"
"""The function the datapoints belong to; it must be in `tensorzero.toml` under this name."""

Json = dict[str, Any]


def tensorzero_line(row: Json) -> Json:
    """A row of `experiences` as a datapoint; tags are text only, as TensorZero wants them."""
    system = [m["content"] for m in row["messages"] if m["role"] == "system"]
    spoken = [m for m in row["messages"] if m["role"] != "system"]
    given: Json = {
        "messages": [{"role": m["role"], "content": [_text(m["content"])]} for m in spoken]
    }
    if any(system):
        given["system"] = "\n\n".join(system)
    return {
        "type": "chat",
        "function_name": FUNCTION,
        "input": given,
        "output": [_text(row["response"])],
        "tags": {name: str(value) for name, value in row["meta"].items()},
    }


def _text(text: str) -> Json:
    return {"type": "text", "text": text}
