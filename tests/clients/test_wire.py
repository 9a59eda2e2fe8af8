"""Each event that is sent, held against the `openai` package's own types: strictly, and nothing beside
their fields. One turn, a barge-in, a truncation, a failure, text only; and what a client may do to items.
"""

import base64
import json
import threading
import time

import pytest
from conftest import KEY, PATIENCE, Server, pieces
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter
from websockets.sync.client import connect

EVENTS = TypeAdapter(RealtimeServerEvent)
# OpenAI's own sessions have these, too; its package does not know them.
KNOWN = {"session.object", "session.id", "session.expires_at"}


def unknown(value, path=""):
    """The fields that the package's types do not have."""
    if isinstance(value, list):
        for one in value:
            yield from unknown(one, path)
    if isinstance(value, BaseModel):
        yield from (f"{path}.{field}".lstrip(".") for field in value.model_extra or {})
        for field in type(value).model_fields:
            yield from unknown(getattr(value, field), f"{path}.{field}".lstrip("."))


class Wire:
    """A socket whose every event is checked."""

    def __init__(self, server: Server):
        headers = {"Authorization": f"Bearer {KEY}"}
        self.socket = connect(server.realtime, additional_headers=headers, max_size=None)
        self.told = []
        self.until("session.created")

    def send(self, kind: str, **fields):
        self.socket.send(json.dumps({"type": kind, **fields}))

    def until(self, kind: str) -> dict:
        while True:
            event = json.loads(self.socket.recv(timeout=PATIENCE))
            checked = EVENTS.validate_python(event, strict=True)
            assert not set(unknown(checked)) - KNOWN, event
            assert event["event_id"]
            self.told.append(event)
            if event["type"] == kind:
                return event

    def update(self, **session):
        self.send("session.update", session={"type": "realtime", **session})
        self.until("session.updated")

    def write(self, text: str):
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        self.send("conversation.item.create", item=item)

    def say(self, pcm: bytes, wait: float = 0):
        for piece in pieces(pcm):
            audio = base64.b64encode(piece).decode()
            self.send("input_audio_buffer.append", audio=audio)
            time.sleep(wait)


@pytest.fixture
def wire(server):
    wire = Wire(server)
    yield wire
    wire.socket.close()


@pytest.fixture
def long_wire(talkative):
    wire = Wire(talkative)
    yield wire
    wire.socket.close()


def check_usage(response: dict):
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    for side in ("input", "output"):
        details = usage[f"{side}_token_details"]
        assert usage[f"{side}_tokens"] == details["text_tokens"] + details["audio_tokens"]


def test_a_turn_its_transcription_and_what_is_done_with_its_items(wire, turn):
    turn_detection = {"type": "semantic_vad", "eagerness": "high"}
    transcription = {"model": "any", "language": "en"}
    wire.update(
        audio={
            "input": {"turn_detection": turn_detection, "transcription": transcription},
            "output": {"voice": "alloy", "speed": 1.0},
        },
        instructions="Be brief.",
        tracing="auto",
    )
    wire.say(turn)
    response = wire.until("response.done")["response"]
    check_usage(response)
    assert response["usage"]["input_token_details"]["audio_tokens"] > 0
    asked = wire.until("conversation.item.input_audio_transcription.completed")["item_id"]
    answered = response["output"][0]["id"]
    wire.send("conversation.item.retrieve", item_id=asked)
    wire.until("conversation.item.retrieved")
    cut = {"item_id": answered, "content_index": 0, "audio_end_ms": 700}
    wire.send("conversation.item.truncate", **cut)
    wire.until("conversation.item.truncated")
    wire.send("conversation.item.delete", item_id=answered)
    wire.until("conversation.item.deleted")
    wire.send("input_audio_buffer.clear")
    wire.until("input_audio_buffer.cleared")


def test_text_alone_with_items_of_every_kind(wire):
    wire.update(output_modalities=["text"], max_output_tokens=20)
    for item in [
        {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "{}"},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Hi."}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi."}],
        },
    ]:
        wire.send("conversation.item.create", item=item)
        wire.until("conversation.item.done")
    wire.write("What is the capital of France?")
    wire.send("response.create", response={"metadata": {"a": "b"}})
    response = wire.until("response.done")["response"]
    assert response["metadata"] == {"a": "b"}
    check_usage(response)
    wire.send("response.create", response={"conversation": "none", "max_output_tokens": 1})
    response = wire.until("response.done")["response"]
    assert response["status_details"]["reason"] == "max_output_tokens"
    check_usage(response)


def test_a_barge_in_and_a_truncation(long_wire, turn):
    long_wire.write("ee")
    long_wire.send("response.create")
    item = long_wire.until("response.output_audio.delta")["item_id"]
    speaking = threading.Thread(target=long_wire.say, args=(turn, 0.1))
    speaking.start()
    long_wire.until("input_audio_buffer.speech_started")
    cut = {"item_id": item, "content_index": 0, "audio_end_ms": 500}
    long_wire.send("conversation.item.truncate", **cut)
    long_wire.until("conversation.item.truncated")
    response = long_wire.until("response.done")["response"]
    speaking.join()
    assert response["status_details"]["reason"] == "turn_detected"
    check_usage(response)


def test_failures(wire):
    wire.send("response.create")
    response = wire.until("response.done")["response"]
    assert response["status_details"]["error"]["code"] == "no_question"
    check_usage(response)
    wire.send("input_audio_buffer.append", audio="AAAA", event_id="mine")
    error = wire.until("error")["error"]
    assert (error["code"], error["param"]) == ("invalid_audio", "audio")
    # Longer than the model hears: neither answered nor written down.
    wire.update(audio={"input": {"turn_detection": None, "transcription": {"model": "any"}}})
    wire.say(bytes(2 * 24_000 * 31))
    wire.send("input_audio_buffer.commit")
    wire.until("conversation.item.input_audio_transcription.failed")
