"""The `openai` package: the Realtime socket, chat completions and transcriptions."""

import asyncio
import base64
import io
import wave

import pytest
from conftest import ANSWER, KEY, PATIENCE, RATE, is_heard, pieces
from openai import AsyncOpenAI, OpenAI


def run(conversation):
    return asyncio.run(asyncio.wait_for(conversation, PATIENCE))


async def until(connection, kind, seen=None):
    """Reads to the next event of that type."""
    async for event in connection:
        if seen is not None:
            seen.append(event)
        assert event.type != "error" or kind == "error", event
        if event.type == kind:
            return event
    raise AssertionError(f"closed before {kind}")


def client(server):
    return AsyncOpenAI(base_url=server.http, api_key=KEY)


def test_a_spoken_turn_is_answered(server, turn):
    async def conversation():
        seen = []
        async with client(server).realtime.connect(model="mini-omni-small") as connection:
            created = await until(connection, "session.created")
            assert created.session.type == "realtime"
            audio = {"input": {"transcription": {"model": "any"}}}
            await connection.session.update(session={"type": "realtime", "audio": audio})
            await until(connection, "session.updated")
            for piece in pieces(turn):
                audio = base64.b64encode(piece).decode()
                await connection.input_audio_buffer.append(audio=audio)
            done = await until(connection, "response.done", seen)
            said = await until(
                connection, "conversation.item.input_audio_transcription.completed", seen
            )
        return seen, done, said

    seen, done, said = run(conversation())
    assert done.response.status == "completed"
    assert done.response.output[0].content[0].transcript == ANSWER
    assert done.response.usage.output_token_details.audio_tokens > 0
    deltas = [event.delta for event in seen if event.type == "response.output_audio.delta"]
    assert is_heard(b"".join(map(base64.b64decode, deltas)))
    assert "capital of france" in said.transcript.lower()


def test_text_alone(server):
    async def conversation():
        async with client(server).realtime.connect(model="mini-omni-small") as connection:
            await connection.session.update(
                session={"type": "realtime", "output_modalities": ["text"]}
            )
            await connection.conversation.item.create(
                item={
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "What is the capital of France?"}],
                }
            )
            await connection.response.create()
            return await until(connection, "response.output_text.done")

    assert run(conversation()).text == ANSWER


def test_an_answer_is_interrupted_and_truncated(talkative, turn):
    async def conversation():
        seen = []
        async with client(talkative).realtime.connect(model="tiny-random") as connection:
            await connection.conversation.item.create(
                item={
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "ee"}],
                }
            )
            await connection.response.create()
            delta = await until(connection, "response.output_audio.delta")

            async def speak():
                for piece in pieces(turn):
                    audio = base64.b64encode(piece).decode()
                    await connection.input_audio_buffer.append(audio=audio)
                    await asyncio.sleep(0.1)

            speaking = asyncio.create_task(speak())
            await until(connection, "input_audio_buffer.speech_started", seen)
            await connection.conversation.item.truncate(
                item_id=delta.item_id, content_index=0, audio_end_ms=10_000_000
            )
            cut = await until(connection, "conversation.item.truncated", seen)
            await speaking
            await until(connection, "input_audio_buffer.committed", seen)
        return seen, cut

    seen, cut = run(conversation())
    [done] = [event for event in seen if event.type == "response.done"]
    assert done.response.status == "cancelled"
    assert done.response.status_details.reason == "turn_detected"
    assert 0 < cut.audio_end_ms < 10_000_000


def test_a_failure_names_its_event(server):
    async def conversation():
        async with client(server).realtime.connect(model="mini-omni-small") as connection:
            await connection.conversation.item.retrieve(item_id="none", event_id="mine")
            return await until(connection, "error")

    error = run(conversation()).error
    assert (error.code, error.event_id) == ("item_retrieve_invalid_item_id", "mine")


def test_a_wrong_key_is_refused(server):
    async def conversation():
        wrong = AsyncOpenAI(base_url=server.http, api_key="wrong")
        async with wrong.realtime.connect(model="mini-omni-small"):
            pass

    with pytest.raises(Exception, match="401"):
        run(conversation())


def wav(pcm: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(pcm)
    return file.getvalue()


def test_a_chat_completion_is_spoken(server, question):
    audio = base64.b64encode(wav(question)).decode()
    completion = OpenAI(base_url=server.http, api_key=KEY).chat.completions.create(
        model="mini-omni-small",
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "wav"},
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "input_audio", "input_audio": {"data": audio, "format": "wav"}}
                ],
            }
        ],
    )
    answer = completion.choices[0].message.audio
    assert answer.transcript == ANSWER
    assert is_heard(base64.b64decode(answer.data)[44:])


def test_a_chat_completion_is_streamed(server):
    stream = OpenAI(base_url=server.http, api_key=KEY).chat.completions.create(
        model="mini-omni-small",
        stream=True,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
    )
    deltas = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(deltas) == ANSWER


def test_a_recording_is_transcribed(server, question):
    transcription = OpenAI(base_url=server.http, api_key=KEY).audio.transcriptions.create(
        model="mini-omni-small", file=("question.wav", wav(question))
    )
    assert "capital of france" in transcription.text.lower()
