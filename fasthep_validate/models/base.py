"""The base of all models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A frozen value; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        """The model as indented JSON with a closing newline."""
        return self.model_dump_json(indent=2) + "\n"
