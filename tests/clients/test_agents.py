"""`openai-agents`: its Realtime session over its own transport."""

import asyncio

from agents.realtime import RealtimeAgent, RealtimeRunner
from conftest import KEY, PATIENCE, is_heard, pieces


async def converse(url, settings, talk, is_done):
    """Events of a session, until one is the last."""
    runner = RealtimeRunner(RealtimeAgent(name="assistant", instructions="Be brief."))
    config = {"url": url, "api_key": KEY, "initial_model_settings": settings}
    seen = []

    async def listen(session):
        async for event in session:
            seen.append(event)
            assert event.type != "error", event
            if is_done(event):
                return

    async with await runner.run(model_config=config) as session:
        talking = asyncio.create_task(talk(session))
        await asyncio.wait_for(listen(session), PATIENCE)
        await talking
    return seen


def words(events):
    """What the assistant said, as the session's history has it."""
    histories = [event.history for event in events if event.type == "history_updated"]
    items = [event.item for event in events if event.type == "history_added"]
    items += [item for history in histories for item in history]
    answers = [item for item in items if getattr(item, "role", "") == "assistant"]
    parts = [part for item in answers for part in item.content]
    said = [getattr(part, "transcript", None) or getattr(part, "text", None) for part in parts]
    return " ".join(filter(None, said))


def test_a_spoken_turn_is_answered(server, turn):
    async def talk(session):
        for piece in pieces(turn):
            await session.send_audio(piece)

    settings = {"model_name": "mini-omni-small", "turn_detection": {"type": "server_vad"}}
    seen = asyncio.run(
        converse(server.realtime, settings, talk, lambda event: event.type == "agent_end")
    )
    sound = b"".join(event.audio.data for event in seen if event.type == "audio")
    assert is_heard(sound)
    assert "Paris" in words(seen)


def test_a_written_question_is_answered(server):
    async def talk(session):
        await session.send_message("What is the capital of France?")

    settings = {"model_name": "mini-omni-small", "output_modalities": ["text"]}
    seen = asyncio.run(
        converse(server.realtime, settings, talk, lambda event: event.type == "agent_end")
    )
    assert "Paris" in words(seen)
    assert not [event for event in seen if event.type == "audio"]


def test_speech_interrupts_an_answer(talkative, turn):
    async def talk(session):
        await session.send_message("ee")
        await asyncio.sleep(1)
        for piece in pieces(turn):
            await session.send_audio(piece)
            await asyncio.sleep(0.1)

    settings = {
        "model_name": "tiny-random",
        "turn_detection": {"type": "server_vad", "interrupt_response": True},
    }
    seen = asyncio.run(
        converse(
            talkative.realtime, settings, talk, lambda event: event.type == "audio_interrupted"
        )
    )
    assert [event for event in seen if event.type == "audio"]
