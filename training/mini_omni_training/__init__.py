"""The "Any Model Can Talk" recipe: data, codec, three phases and their evaluation, in torch."""
