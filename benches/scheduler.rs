//! What the scheduler itself costs, without running a graph: `cargo bench --bench scheduler`.
//!
//! The bundled tiny model's vocabularies are small, so choosing ids weighs little; what is left is
//! the batch's bookkeeping, the words, and the queue in front of the codec. All of it together must
//! stay far below a step of the decoder, some 10 ms.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mini_omni::answer::Answer;
use mini_omni::batch::Batch;
use mini_omni::conversation::Reply;
use mini_omni::graph::decoder::Logits;
use mini_omni::hear::Heard;
use mini_omni::prompt::Prompt;
use mini_omni::speech::Speech;
use mini_omni::text::Text;
use mini_omni::trace::Timings;
use mini_omni::turn::Forced;
use mini_omni::{Conversation, Manifest, Options, task};

/// Steps of a measurement.
const STEPS: usize = 100;

struct Model {
    manifest: Manifest,
    text: Text,
}

impl Model {
    fn bundled() -> Model {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("onnx/tiny-random");
        let manifest = Manifest::load(&folder).expect("the bundled model");
        let text = Text::open(&folder, &manifest).expect("its tokenizer");
        Model { manifest, text }
    }

    /// A batch of `n` answers of two rows each, about to take their first step.
    fn batch<'a>(&'a self, speech: &'a Speech, n: usize) -> (Batch<'a>, Vec<Conversation>) {
        let options = Options {
            forced: Some(Forced { text_steps: STEPS }),
            ..Options::for_task(&task::A1A2_BATCH)
        };
        let mut batch = Batch::new(self.manifest.ids.streams(), None);
        let mut conversations = Vec::new();
        for _ in 0..n {
            let heard = Heard {
                prompt: Prompt::from_audio(options.task, &self.manifest.ids, 100),
                features: None,
                steps: 2 * STEPS,
                timings: Timings::default(),
                start: Instant::now(),
            };
            let (reply, conversation) = Reply::new(None);
            let question = (&heard, &options);
            let answer = Answer::new(&self.manifest, &self.text, speech, question, reply);
            batch.join(answer, None, &heard.prompt.marks, 2 * STEPS);
            conversations.push(conversation);
        }
        (batch, conversations)
    }
}

fn steps(c: &mut Criterion) {
    let model = Model::bundled();
    let ids = &model.manifest.ids;
    let mut group = c.benchmark_group("scheduler/a step");
    group.throughput(Throughput::Elements(STEPS as u64));
    for n in [1, 4, 16] {
        let text = vec![0.5; n * ids.text_vocab_size];
        let audio = vec![0.5; n * ids.audio_streams * ids.audio_vocab_size];
        let logits = Logits {
            text: &text,
            audio: &audio,
        };
        let speech = Speech::new(model.manifest.codec.sample_rate, false);
        group.bench_function(format!("{n} conversations, {STEPS} steps"), |b| {
            b.iter_batched(
                || {
                    speech.forget_cancelled();
                    model.batch(&speech, n)
                },
                |(mut batch, conversations)| {
                    for _ in 0..STEPS {
                        black_box(batch.call());
                        batch.accept(&logits, 0.0);
                    }
                    (batch, conversations)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = scheduler;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots();
    targets = steps
}
criterion_main!(scheduler);
