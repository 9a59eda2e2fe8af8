use super::*;

const TEXT: usize = 80;
const AUDIO: usize = 70;

fn ids() -> SpecialIds {
    SpecialIds {
        audio_streams: 7,
        text_vocab_size: TEXT,
        audio_vocab_size: AUDIO,
        eot: 16,
        pad_t: 17,
        input_t: 18,
        answer_t: 19,
        asr: 20,
        eoa: 6,
        pad_a: 7,
        input_a: 8,
        answer_a: 9,
        split: 10,
    }
}

fn generation(task: Task, max_steps: usize) -> Generation {
    Generation::new(task, &ids(), &SamplingConfig::greedy(), max_steps)
}

fn text(id: usize) -> Vec<f32> {
    (0..TEXT).map(|i| if i == id { 1.0 } else { 0.0 }).collect()
}

fn audio(last: usize) -> Vec<f32> {
    let mut logits = vec![0.0; 7 * AUDIO];
    for stream in 0..7 {
        logits[stream * AUDIO + if stream == 6 { last } else { stream }] = 1.0;
    }
    logits
}

fn next(generation: &mut Generation, text_id: usize, last: usize) -> Outcome {
    let (t, a) = (text(text_id), audio(last));
    let heads = generation.heads();
    let step = generation.choose(&Said::Logits(HeadLogits {
        text: heads.text_row.map(|_| &t[..]),
        audio: heads.audio_row.map(|_| &a[..]),
    }));
    generation.take(step)
}

#[test]
fn the_first_step_is_kept_whatever_it_says() {
    let mut generation = generation(Task::A1A2, 9);
    assert!(matches!(next(&mut generation, 16, 6), Outcome::Kept(_)));
    assert_eq!(
        generation.heads().text_row,
        Some(0),
        "an eot in the first step is not acted on"
    );
    assert_eq!(next(&mut generation, 1, 6), Outcome::Ended(Ended::Eoa));
}

#[test]
fn after_eot_the_text_is_padding_and_the_text_row_leaves() {
    let mut generation = generation(Task::A1A2_BATCH, 9);
    next(&mut generation, 1, 1);
    assert_eq!(
        (generation.rows(), generation.heads().text_row),
        (2, Some(1))
    );
    next(&mut generation, 16, 1);
    assert_eq!((generation.rows(), generation.heads().text_row), (1, None));
    let Outcome::Kept(step) = next(&mut generation, 1, 2) else {
        panic!("kept")
    };
    assert_eq!(step.text, 17);
}

#[test]
fn rows_are_fed_the_same_text_and_their_own_audio() {
    let mut generation = generation(Task::A1A2_BATCH, 9);
    next(&mut generation, 3, 5);
    let mut column = [0; 8];
    generation.feed(0, &mut column);
    assert_eq!(column, [0, 1, 2, 3, 4, 5, 5, 3]);
    generation.feed(1, &mut column);
    assert_eq!(column, [7, 7, 7, 7, 7, 7, 7, 3]);
}

#[test]
fn a_text_task_stops_at_eot_and_leaves_it_out() {
    let mut generation = generation(Task::T1T2, 9);
    next(&mut generation, 3, 0);
    assert_eq!(next(&mut generation, 16, 0), Outcome::Ended(Ended::Eot));
    assert_eq!(generation.steps(), 1);
}

#[test]
fn the_limit_counts_kept_steps() {
    let mut generation = generation(Task::T1T2, 2);
    next(&mut generation, 3, 0);
    assert_eq!(generation.limit(), None);
    next(&mut generation, 3, 0);
    assert_eq!(generation.limit(), Some(Ended::Limit));
}

#[test]
fn a_forced_answer_ends_at_its_length_and_its_text_where_told() {
    let mut generation =
        generation(Task::A1A2_BATCH, 4).forced(Some(ForcedLength { text_steps: 2 }));
    for step in 0..4 {
        assert_eq!(generation.limit(), None);
        let Outcome::Kept(said) = next(&mut generation, 16, 6) else {
            panic!("step {step} is kept")
        };
        assert!(said.audio.iter().all(|&id| id < 6), "no special id");
        assert_eq!(generation.rows(), if step < 2 { 2 } else { 1 });
    }
    assert_eq!(generation.limit(), Some(Ended::Limit));
}

#[test]
fn a_text_that_is_nothing_but_padding_ends() {
    let mut generation = generation(Task::A1T1, 2000);
    for _ in 0..MOST_PADDING - 1 {
        next(&mut generation, 17, 0);
    }
    next(&mut generation, 3, 0);
    for _ in 0..MOST_PADDING {
        assert_eq!(generation.limit(), None, "a word began the count anew");
        next(&mut generation, 17, 0);
    }
    assert_eq!(generation.limit(), Some(Ended::Padding));
}

#[test]
fn an_answer_whose_audio_failed_ends_with_its_text() {
    let mut generation = generation(Task::A1A2, 9);
    next(&mut generation, 3, 1);
    generation.audio_failed();
    assert_eq!(generation.limit(), None);
    next(&mut generation, 16, 1);
    assert_eq!(generation.limit(), Some(Ended::BadAudioId));
}
