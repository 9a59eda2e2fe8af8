"""A toy run of every part: seconds, random data, no network."""

import json
import random
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mini_omni_export import checkpoint
from mini_omni_export.checkpoint import Tensors
from mini_omni_export.codec_encoder import build_codec_encoder
from mini_omni_export.config import read_codec_config
from mini_omni_export.graph import Graph
from toys import TOY, speak

from mini_omni_training import (
    codec,
    layout,
    phases,
    prepare,
    restore,
    speech,
    timing,
    tokenizer,
)
from mini_omni_training.answering import AnsweringVoice
from mini_omni_training.clips import Clips
from mini_omni_training.domain import OUTSIDE_UNSEEN, RULES, beyond, drills, questions
from mini_omni_training.domain.words import plural
from mini_omni_training.generate import Forced, generate, generate_many
from mini_omni_training.items import Items, varied
from mini_omni_training.loop import Schedule, Trainer
from mini_omni_training.model import Omni, Past, average
from mini_omni_training.runners import Torch
from mini_omni_training.snac import Snac, SnacConfig, from_frames, to_frames
from mini_omni_training.store import codes_store, features_store
from mini_omni_training.voices import session_of

BUNDLED = Path(__file__).parents[2] / "onnx" / "mini-omni-small"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared toy data: a tokenizer, codes of six answers, features of six questions."""
    work = tmp_path_factory.mktemp("work")
    tokenizer.train(work / "tokenizer.json", TOY, sentences=50)
    draw = np.random.default_rng(1)
    asked = [q for q in questions() if not q.held_out][:6]
    speak(work, asked, draw)
    for name in ("train", "test"):
        store = features_store(work, name, TOY.whisper_adapter_dim)
        for q in asked:
            store.append(draw.standard_normal((20, 24)), text=q.question, answer=q.answer)
    return work


def test_the_domain_is_wide_and_says_what_it_holds_out():
    asked = questions()
    assert len(asked) >= 10_000
    assert len({q.kind for q in asked}) >= 25
    known = {(q.kind, q.fact) for q in asked if not q.held_out}
    unseen = {(q.kind, q.fact) for q in asked if q.held_out and q.kind in RULES}
    reworded = {(q.kind, q.fact) for q in asked if q.held_out and q.kind not in RULES}
    assert len(unseen) > 300 and not known & unseen
    assert len(reworded) > 100 and reworded <= known


def test_more_than_one_are_named_as_they_are_said():
    assert [plural(noun) for noun in ("apple", "bus", "mouse")] == ["apples", "buses", "mice"]


def test_the_delay_pattern_is_undone():
    frames = torch.arange(35).reshape(5, 7)
    said = layout.answer(TOY, [1, 2], frames)
    assert said.shape == (8, 13)
    assert said[6, 12] == TOY.audio_id("eoa")
    assert torch.equal(layout.undelay(said[:, :12]), frames)


def test_text_keeps_pace_with_its_sound():
    text, words = "Okay, a timer.", [2, 9, 10]
    offsets = [(0, 4), (4, 5), (6, 7), (8, 11), (11, 13), (13, 14)]  # Okay , a tim er .
    of = timing.word_of_each_id(text, offsets)
    assert of == [0, 0, 1, 2, 2, 2]
    assert timing.id_steps(of, words, lead=2) == [0, 1, 7, 8, 9, 10]
    assert timing.id_steps([0, 0, 0, 1], [0, 1], lead=2) == [0, 1, 2, 3]  # late, but in order
    said = layout.answer(TOY, [1, 2, 3], torch.zeros(4, 7, dtype=torch.long), [0, 3, 4])
    pad, eot = TOY.text_id("pad_t"), TOY.text_id("eot")
    assert said[7].tolist() == [1, pad, pad, 2, 3, eot] + 6 * [pad]


def test_what_is_said_may_be_open_while_its_time_is_not():
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    starts = torch.tensor([True, False, True])
    any_word = phases.text_loss(logits, torch.tensor([layout.ANY_WORD]), starts)
    likely = logits.softmax(-1)[0]
    assert torch.isclose(any_word, -(likely[0] + likely[2]).log(), atol=1e-5)
    known = phases.text_loss(logits, torch.tensor([2]), starts)
    assert torch.isclose(known, -likely[2].log())


def test_forced_text_is_said_whole_and_in_order():
    torch.manual_seed(0)
    starts = torch.zeros(TOY.text_vocab_size, dtype=torch.bool)
    starts[[5, 7]] = True
    forced = Forced([4, 5, 6], TOY.text_id("eot"), starts)
    text, _ = generate(Omni(TOY).eval(), "SAY", [], limit=60, force=forced)
    assert text == [4, 5, 6][: len(text)]


def test_a_forced_word_waits_until_one_begins():
    starts = torch.tensor([False, False, True, True, False])
    pad, said = 1, Forced([0, 2, 4], eot=4, starts=starts)
    ends = torch.tensor([0.0, 0.3, 0.1, 0.1, 0.5])  # the model expects an end, not a word
    begins = torch.tensor([0.0, 0.3, 0.2, 0.2, 0.3])
    ids = [said.next_id(likely, pad) for likely in (ends, ends, begins, ends, ends, ends)]
    assert ids == [0, 1, 2, 4, 4, 1]


def test_a_row_predicts_each_next_column():
    said = layout.answer(TOY, [1, 2], torch.zeros(3, 7, dtype=torch.long))
    row = layout.row(TOY, layout.TASKS["T1A2"], [5, 6], said)
    first = row.ids.shape[1] - said.shape[1]
    assert torch.equal(row.labels[:, first:], said)
    assert torch.equal(row.ids[:, first + 1 :], said[:, :-1])
    assert (row.labels[:, :first] == layout.IGNORE).all()


def test_codes_and_frames_are_each_others_inverse():
    frames = torch.randint(9, (4, 7))
    assert torch.equal(to_frames([c[0] for c in from_frames(frames)]), frames)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_phase_trains_only_what_it_may(work: Path, number: int, tmp_path: Path):
    (tmp_path / "base").mkdir()
    torch.manual_seed(0)
    base = Omni(TOY)
    base.save(tmp_path / "base")
    schedule = Schedule(steps=3, eval_every=3, log_every=1, warmup=1)
    plan = phases.Plan(columns=1500, from_scratch=False)
    made = phases.train(work, number, TOY, schedule, plan, tmp_path / "base")
    before = base.state_dict()
    moved = {k for k, v in made.state_dict().items() if not torch.equal(v, before[k])}
    phase = phases.PHASES[number]
    assert any(".attn." in k for k in moved) == phase.base
    assert any(k.startswith("whisper_adapter") for k in moved) == phase.adapter
    assert (work / f"phase{number}" / "curves.png").exists()
    assert torch.equal(Omni.load(work / f"phase{number}").lm_head.weight, made.lm_head.weight)


def _train_to(folder: Path, steps: int) -> torch.Tensor:
    torch.manual_seed(3)
    model = torch.nn.Linear(4, 4)
    trainer = Trainer(folder, model, Schedule(steps=steps, warmup=2, floor=1.0))
    trainer.run(lambda _, rng: (model(torch.randn(5, 4)).square().sum(), {}))
    return model.weight.detach()


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path):
    whole = _train_to(tmp_path / "a", 8)
    _train_to(tmp_path / "b", 3)
    assert torch.equal(whole, _train_to(tmp_path / "b", 8))


def test_generation_with_a_cache_equals_generation_without():
    torch.manual_seed(0)
    model = Omni(TOY).eval()
    before = layout.prompt(TOY, layout.TASKS["A1A2"], [], 5)
    heard = torch.tensor([[False] + [True] * 5 + [False] * 2 + [False] * 3])
    features = torch.randn(1, 11, TOY.whisper_adapter_dim)
    ids = torch.cat([before, torch.randint(90, (8, 3))], dim=1)[None]
    whole, past = model(ids, features, heard), Past()
    pieces = [model(ids[..., :8], features[:, :8], heard[:, :8], past)]
    pieces += [model(ids[..., i : i + 1], past=past) for i in range(8, 11)]
    assert torch.allclose(torch.cat(pieces, dim=1), whole, atol=1e-5)


def test_generation_ends_and_gives_whole_frames():
    text, frames = generate(Omni(TOY).eval(), "T1A2", [4, 5, 6], limit=12)
    assert frames.shape[1] == 7
    assert all(t < TOY.text_id("eot") for t in text)


def test_checkpoints_are_averaged_by_weight(tmp_path: Path):
    models = [Omni(TOY), Omni(TOY)]
    for i, model in enumerate(models):
        model.save(tmp_path / str(i))
    mean = average({tmp_path / "0": 1.0, tmp_path / "1": 3.0}).state_dict()
    a, b = (model.state_dict() for model in models)
    assert all(torch.allclose(mean[k], a[k] / 4 + b[k] * 3 / 4, atol=1e-6) for k in mean)


def test_a_deepened_model_says_the_same_and_learns_in_every_block():
    torch.manual_seed(0)
    model, ids = Omni(TOY), torch.randint(9, (2, 8, 5))
    deep = model.deepened(3)
    assert len(deep.transformer["h"]) == 3
    assert torch.equal(deep(ids), model(ids))
    deep(ids).sum().backward()
    assert all(block.attn.proj.weight.grad.any() for block in deep.transformer["h"])
    with pytest.raises(ValueError, match="2 blocks cannot become 1"):
        model.deepened(1)


def test_answers_made_together_are_those_made_alone():
    torch.manual_seed(0)
    model = Omni(TOY).eval()
    for task, sources in [
        ("T1A2", [[5, 6, 7], [8, 9, 5], [4, 4, 4]]),
        ("A1T2", list(torch.randn(3, 12, TOY.whisper_adapter_dim))),
    ]:
        together = generate_many(model, task, sources, limit=25)
        for source, steps in zip(sources, together):
            (alone,) = generate_many(model, task, [source], limit=25)
            assert torch.equal(steps, alone)


def test_an_exported_model_is_restored():
    model, ids = restore.restore(BUNDLED).eval(), tokenizer.load(BUNDLED / "tokenizer.json")
    for q in [q for q in questions() if q.kind == "capitals" and not q.held_out][:8]:
        text, _ = generate(model, "T1T2", ids.encode(q.question).ids)
        assert ids.decode(text) == q.answer
    spoken = restore.restore_codec(BUNDLED).say(torch.randint(1024, (6, 7)))
    assert len(spoken) == 6 * 2048 and 0.01 < np.abs(spoken).max() <= 1


def test_an_export_reads_aloud_for_the_judge():
    assert not restore.is_restorable(BUNDLED.parents[1] / "tests/fixtures/tiny/portable")
    text, pcm = Torch.of_export(BUNDLED)("SAY", "Nine is odd.")
    assert text == "Nine is odd."
    assert len(pcm) % codec.FRAME == 0 and 0.5 < len(pcm) / 24_000 < 4
    assert np.abs(pcm).max() > 0.05


def test_heard_clips_vary_but_keep_their_course():
    clip, other = torch.randn(64, 8) + 3, torch.randn(50, 8) - 3
    shares = []
    for seed in range(40):
        found = varied(clip, other, random.Random(seed))
        assert 45 <= len(found) <= 64
        shares.append(float((3 - found.mean()) / 6))
    assert min(shares) < 0.1 < 0.4 < max(shares) < 0.6


def test_what_is_heard_is_as_likely_as_all_its_alignments():
    torch.manual_seed(0)
    model, blank = Omni(TOY), TOY.text_id("pad_t")
    clip = torch.randn(3, TOY.whisper_adapter_dim)
    rows = [
        layout.row(TOY, layout.TASKS["T1T2"], [8, 9], layout.answer(TOY, [1], None)),
        layout.row(TOY, layout.TASKS["A1T2"], clip, layout.answer(TOY, [1], None), [5, 6]),
        layout.row(TOY, layout.TASKS["A1T2"], clip[:2], layout.answer(TOY, [1], None), [7]),
    ]
    batch = layout.collate(TOY, rows)
    x = torch.randn(*batch.heard.shape, TOY.n_embd)
    likely = model.text_logits(model.transformer["ln_f"](x)).softmax(-1)
    whole = sum(
        likely[1, [1, 2, 3], path].prod()
        for path in ([5, 6, blank], [5, blank, 6], [blank, 5, 6], [5, 5, 6], [5, 6, 6])
    )
    short = sum(likely[2, [1, 2], path].prod() for path in ([7, blank], [blank, 7], [7, 7]))
    found = phases.heard_loss(model, batch, x)
    assert torch.allclose(found, -(whole.log() / 2 + short.log()) / 2, rtol=0.02)


def test_only_what_follows_from_what_was_named_is_to_be_finished(work: Path):
    ids = tokenizer.load(work / "tokenizer.json")
    labels = Items(work, TOY, ids)._finish(random.Random(1), "Two plus three is five.").labels[7]
    due = [i for i in labels.tolist() if i >= 0 and i != TOY.text_id("pad_t")]
    assert ids.decode(due[:-1]).strip() == "five." and due[-1] == TOY.text_id("eot")


def test_drills_give_no_held_out_sum_away():
    known = {q.answer for q in questions()}
    held_out = {q.answer for q in questions() if q.held_out}
    practised = {q.answer for q in drills()}
    assert len(practised) > 5_000 and not known & practised
    for a, b, c in re.findall(r"(.*) plus (.*) is (.*)", "\n".join(practised)):
        assert f"{b.capitalize()} plus {a.lower()} is {c}" not in held_out


def test_nothing_to_test_the_border_with_is_trained_on():
    trained = {q.question for q in questions() + drills() + beyond()}
    assert len(set(OUTSIDE_UNSEEN)) == 50 and not trained & set(OUTSIDE_UNSEEN)


def test_words_begin_with_frames():
    speak = AnsweringVoice()
    pcm, words = speak("Okay, the timer is set.", random.Random(1))
    assert words[0] == 2 and words == sorted(set(words)) and len(words) == 5
    assert len(pcm) % codec.FRAME == 0 and len(pcm) // codec.FRAME > words[-1] + 1
    loud = np.abs(pcm).reshape(-1, codec.FRAME).max(axis=1) > 0.02
    assert not loud[0] and loud[words].all()
    again, _ = speak("Okay, the timer is set.", random.Random(2))
    assert len(again) == len(pcm)


def test_the_codecs_encoder_is_exported(tmp_path: Path):
    torch.manual_seed(0)
    snac = Snac(SnacConfig())
    snac.save(tmp_path)
    graph = Graph(tmp_path, "codec_encoder", lambda *_: None)
    tensors = Tensors(checkpoint.load(tmp_path / "pytorch_model.bin"), tmp_path)
    build_codec_encoder(graph, tensors, read_codec_config(tmp_path / "config.json"))
    graph.save()
    pcm = 0.1 * torch.randn(1, 9 * codec.FRAME)
    session = session_of(str(tmp_path / "codec_encoder.onnx"))
    for made, wanted in zip(session.run(None, {"pcm": pcm[None].numpy()}), snac.encode(pcm)):
        assert made.shape == wanted.shape and (made == wanted.numpy()).mean() > 0.97


def test_codec_stages_learn_and_are_saved_as_published(tmp_path: Path, monkeypatch):
    draw = np.random.default_rng(0)
    clips = Clips(tmp_path / "reading" / "part0", writable=True)
    for _ in range(2):
        clips.append(draw.standard_normal(60_000).astype(np.float32) * 0.1, text="hiss")
    small = SnacConfig(encoder_dim=4, decoder_dim=16, codebook_size=32)
    monkeypatch.setattr(codec, "SnacConfig", lambda: small)
    for stage in "ab":
        codec.train(tmp_path / "reading", tmp_path / "codec", stage, Schedule(steps=2, log_every=1))
    snac = Snac.load(tmp_path / "codec" / "snac")
    assert snac.config == small
    assert codec.round_trip(codec.load(tmp_path / "codec"), clips, 0).shape == (61_440,)


def test_a_corpus_whose_parts_grew_is_encoded_on(tmp_path: Path, monkeypatch):
    def add(part: str, text: str) -> None:
        clips = Clips(tmp_path / "reading" / part, writable=True)
        clips.append(np.full(4096, len(text) / 10, np.float32), text=text, words=[0])

    level = SimpleNamespace(encode=lambda pcm: [(pcm.abs().mean() * 10).round().long()[None]])
    monkeypatch.setattr(codec, "load", lambda _: SimpleNamespace(snac=level))
    monkeypatch.setattr(prepare, "to_frames", lambda levels: levels[0].expand(1, 7))
    for part, text in (("part0", "a"), ("part1", "bb"), ("part0", "ccc")):
        add(part, text)
        prepare.encode_speech(tmp_path, "reading")
    store = codes_store(tmp_path, "reading")
    assert [meta["text"] for meta in store.meta] == ["a", "bb", "ccc"]
    assert [int(store[i][0, 0]) for i in range(3)] == [1, 2, 3]


def test_clips_survive_being_reopened(tmp_path: Path):
    pcm = np.linspace(-1, 1, 100, dtype=np.float32)
    for text in ("one", "two"):
        Clips(tmp_path, writable=True).append(pcm, text=text)
    again = Clips(tmp_path)
    assert [m["text"] for m in again.meta] == ["one", "two"]
    assert np.allclose(again[1], pcm, atol=1e-4)


def test_questions_are_asked_on_where_they_stopped(tmp_path: Path, monkeypatch):
    voice = {"hibari": lambda: lambda text, rng: np.zeros(10, np.float32)}
    monkeypatch.setattr(speech, "question_voices", lambda: voice)
    for n in (5, 40, 400):
        speech.ask(tmp_path, n, held_out_clips=3)
        assert len(Clips(tmp_path / "train")) == n
    whole = Clips(tmp_path / "train").meta
    assert {"drill", "far", "reading"} < {m["kind"] for m in whole}
    assert len({m["text"] for m in whole}) > 300
    cells = Counter(m["cell"] for m in Clips(tmp_path / "test").meta)
    assert set(cells) == {"template", "natural", "near", "far", "reading"}
    assert set(cells.values()) == {3}
    speech.ask(tmp_path / "at once", 40)
    assert Clips(tmp_path / "at once" / "train").meta == whole[:40]


def test_curves_and_logs_are_lines_of_json(work: Path):
    lines = (work / "phase1" / "log.jsonl").read_text().splitlines()
    assert {"step", "loss", "lr"} <= set(json.loads(lines[0]))
    assert random.Random("1/0").random() == random.Random("1/0").random()
