"""`pipecat-ai`: its Realtime service in a pipeline, over its own socket."""

import asyncio

from conftest import ANSWER, KEY, PATIENCE, RATE, is_heard, pieces
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.realtime import events
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner


class Ear(FrameProcessor):
    """Keeps the frames that pass, and wakes who waits for one."""

    def __init__(self):
        super().__init__()
        self.frames: list[Frame] = []
        self.changed = asyncio.Condition()

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        async with self.changed:
            self.frames.append(frame)
            self.changed.notify_all()
        await self.push_frame(frame, direction)

    async def until(self, kind):
        def found():
            return any(isinstance(frame, kind) for frame in self.frames)

        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(found), PATIENCE)

    def all(self, kind):
        return [frame for frame in self.frames if isinstance(frame, kind)]


async def converse(server, session, talk):
    """Runs a pipeline while `talk` goes on; what left the service upwards and downwards."""
    properties = events.SessionProperties(**session)
    service = OpenAIRealtimeLLMService(
        api_key=KEY,
        base_url=server.realtime,
        settings=OpenAIRealtimeLLMService.Settings(session_properties=properties),
    )
    up, down = Ear(), Ear()
    params = PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE)
    pipeline = Pipeline([up, service, down])
    worker = PipelineWorker(pipeline, cancel_on_idle_timeout=False, params=params)
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def _(*_):
        started.set()

    async def go_on():
        try:
            await asyncio.wait_for(started.wait(), PATIENCE)
            await talk(service, worker, up, down)
        finally:
            await worker.queue_frame(EndFrame())

    runner = WorkerRunner()
    await runner.add_workers(worker)
    await asyncio.gather(runner.run(), go_on())
    return up, down


def asked(text):
    """A context in which the user has written something."""
    return LLMContextFrame(LLMContext([{"role": "user", "content": text}]))


async def speak(worker, pcm, pause=0.0):
    for piece in pieces(pcm):
        await worker.queue_frame(InputAudioRawFrame(piece, RATE, 1))
        await asyncio.sleep(pause)


def test_a_spoken_turn_is_answered(server, turn):
    async def talk(service, worker, up, down):
        await speak(worker, turn)
        await down.until(LLMFullResponseEndFrame)
        await up.until(TranscriptionFrame)

    transcription = events.InputAudioTranscription(model="any")
    audio = events.AudioConfiguration(input=events.AudioInput(transcription=transcription))
    up, down = asyncio.run(converse(server, {"audio": audio}, talk))
    assert not up.all(ErrorFrame)
    assert is_heard(b"".join(frame.audio for frame in down.all(TTSAudioRawFrame)))
    assert "".join(frame.text for frame in down.all(LLMTextFrame)) == ANSWER
    assert "capital of france" in up.all(TranscriptionFrame)[0].text.lower()
    assert up.all(ProposedUserStartedSpeakingFrame) and up.all(ProposedUserStoppedSpeakingFrame)


def test_a_written_question_is_answered_in_text(server):
    async def talk(service, worker, up, down):
        await worker.queue_frame(asked("What is the capital of France?"))
        await down.until(LLMFullResponseEndFrame)

    up, down = asyncio.run(converse(server, {"output_modalities": ["text"]}, talk))
    assert not up.all(ErrorFrame) and not down.all(TTSAudioRawFrame)
    assert "".join(frame.text for frame in down.all(LLMTextFrame)) == ANSWER


def test_speech_interrupts_an_answer_and_truncates_it(talkative, turn):
    items = []

    async def talk(service, worker, up, down):
        await worker.queue_frame(asked("ee"))
        await down.until(TTSAudioRawFrame)
        item = service._current_audio_response.item_id
        await speak(worker, turn, 0.1)
        await up.until(ProposedUserStartedSpeakingFrame)
        items.append(await asyncio.wait_for(service.retrieve_conversation_item(item), PATIENCE))

    up, _ = asyncio.run(converse(talkative, {}, talk))
    assert not up.all(ErrorFrame)
    assert items[0].role == "assistant"


def test_a_failure_is_told(server):
    async def talk(service, worker, up, down):
        await worker.queue_frame(LLMContextFrame(LLMContext()))
        await up.until(ErrorFrame)

    up, _ = asyncio.run(converse(server, {}, talk))
    assert "no question" in up.all(ErrorFrame)[0].error
