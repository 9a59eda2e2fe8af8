"""`livekit-plugins-openai`: its Realtime model over its own socket."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
from conftest import ANSWER, KEY, PATIENCE, RATE, is_heard, pieces
from livekit import rtc
from livekit.agents import llm
from livekit.plugins.openai import realtime


@asynccontextmanager
async def opened(server, **options):
    """A session, and the events of the kinds that are looked at."""
    async with aiohttp.ClientSession() as http:
        model = realtime.RealtimeModel(
            model="any", base_url=server.http, api_key=KEY, http_session=http, **options
        )
        session = model.session()
        events = asyncio.Queue()
        for kind in [
            "generation_created",
            "input_speech_started",
            "input_speech_stopped",
            "input_audio_transcription_completed",
            "error",
        ]:
            session.on(kind, lambda event, kind=kind: events.put_nowait((kind, event)))
        try:
            yield session, events
        finally:
            await session.aclose()


async def until(events, wanted):
    """The next event of that kind."""
    while True:
        kind, event = await asyncio.wait_for(events.get(), PATIENCE)
        assert kind == wanted or kind != "error", event
        if kind == wanted:
            return event


async def speak(session, pcm, pause=0.0):
    for piece in pieces(pcm):
        session.push_audio(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))
        await asyncio.sleep(pause)


async def gathered(stream):
    return [piece async for piece in stream]


async def said(generation):
    """The text and the sound of an answer, and its item."""
    messages = aiter(generation.message_stream)
    message = await anext(messages)
    text, frames = await asyncio.gather(
        gathered(message.text_stream), gathered(message.audio_stream)
    )
    sound = b"".join(bytes(frame.data) for frame in frames)
    return "".join(text), sound, message.message_id


def test_a_spoken_turn_is_answered(server, turn):
    async def conversation():
        transcription = {"model": "any"}
        async with opened(server, input_audio_transcription=transcription) as (session, events):
            await speak(session, turn)
            await until(events, "input_speech_started")
            await until(events, "input_speech_stopped")
            answer = await said(await until(events, "generation_created"))
            while True:
                heard = await until(events, "input_audio_transcription_completed")
                if heard.is_final:
                    return answer, heard.transcript

    (text, sound, _), heard = asyncio.run(conversation())
    assert text == ANSWER
    assert is_heard(sound)
    assert "capital of france" in heard.lower()


def test_a_written_question_is_answered_in_text(server):
    async def conversation():
        async with opened(server, modalities=["text"]) as (session, _):
            context = llm.ChatContext()
            context.add_message(role="user", content="What is the capital of France?")
            await session.update_chat_ctx(context)
            generation = await session.generate_reply()
            assert generation.user_initiated
            return await said(generation)

    text, sound, _ = asyncio.run(conversation())
    assert (text, sound) == (ANSWER, b"")


def test_speech_interrupts_an_answer_and_it_is_truncated(talkative, turn):
    async def conversation():
        async with opened(talkative) as (session, events):
            context = llm.ChatContext()
            context.add_message(role="user", content="ee")
            await session.update_chat_ctx(context)
            generation = await session.generate_reply()
            answering = asyncio.create_task(said(generation))
            speaking = asyncio.create_task(speak(session, turn, 0.1))
            await until(events, "input_speech_started")
            _text, sound, item = await asyncio.wait_for(answering, PATIENCE)
            session.truncate(message_id=item, modalities=["audio"], audio_end_ms=500)
            await until(events, "input_speech_stopped")
            await speaking
            return sound, item

    sound, item = asyncio.run(conversation())
    assert item and is_heard(sound)


def test_a_failure_is_told(server):
    async def conversation():
        async with opened(server) as (session, events):
            await session.generate_reply()
            return await until(events, "error")

    error = asyncio.run(conversation())
    assert error.recoverable
    assert error.error.body.code == "no_question"
