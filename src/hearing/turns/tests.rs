//! Scripts of probabilities, and what they say.

use super::*;

const RULES: ListenerRules = ListenerRules {
    threshold: 0.5,
    pre_roll: 300,
    pause: Some(500),
    meaning: None,
    speculate: Some(160),
    goes_on: Some(500),
    least_interruption: 350,
};

/// Probabilities by letter: `s` speech, `m` maybe, `.` none; a capital while an answer plays, `,` for
/// none and `H` for a hiss that begins then. What is heard, with the frame it is told behind.
fn hear(rules: &ListenerRules, script: &str, complete: &[bool]) -> Vec<(usize, Heard)> {
    let mut turns = Turns::new(rules.clone());
    let mut complete = complete.iter().copied();
    let mut heard = Vec::new();
    for (at, letter) in script.chars().enumerate() {
        let probability = match letter.to_ascii_lowercase() {
            's' => 0.9,
            'm' => 0.4,
            _ => 0.1,
        };
        let frame = Frame {
            probability,
            playing: letter.is_uppercase() || letter == ',',
            onset: letter == 'H',
        };
        heard.extend(turns.push(frame).map(|h| (at, h)));
        if turns.wants().is_some() {
            let complete = complete.next().unwrap_or(false);
            heard.extend(turns.is_complete(complete).map(|h| (at, h)));
        }
    }
    heard
}

fn kinds(heard: &[(usize, Heard)]) -> String {
    let letter = |heard: &Heard| match heard {
        Heard::Start { .. } => 'S',
        Heard::Pause { .. } => 'p',
        Heard::Resume => 'r',
        Heard::End { .. } => 'E',
        Heard::Overlap => 'o',
        Heard::OverlapOver => 'x',
        Heard::Interruption { .. } => 'I',
    };
    heard.iter().map(|(_, heard)| letter(heard)).collect()
}

fn script(parts: &[(&str, usize)]) -> String {
    parts.iter().map(|(part, n)| part.repeat(*n)).collect()
}

#[test]
fn a_turn_begins_with_its_pre_roll_and_ends_behind_its_pause() {
    let heard = hear(
        &RULES,
        &script(&[(".", 20), ("s", 10), ("m", 3), (".", 30)]),
        &[],
    );
    let start = position(20) - 4800;
    let paused = start..position(38);
    let ended = start..position(33) + 4800;
    assert_eq!(
        heard,
        [
            (
                24,
                Heard::Start {
                    at: start,
                    from: start
                }
            ),
            (37, Heard::Pause { speech: paused }),
            (
                48,
                Heard::End {
                    speech: ended,
                    silent_since: position(33)
                }
            ),
        ]
    );
}

#[test]
fn speech_at_the_first_sample_loses_nothing_and_turns_never_overlap() {
    let heard = hear(&RULES, &script(&[("s", 5), (".", 16), ("s", 5)]), &[]);
    assert_eq!(heard[0].1, Heard::Start { at: 0, from: 0 });
    let Heard::End { speech, .. } = &heard[2].1 else {
        panic!("{heard:?}")
    };
    let Heard::Start { at, .. } = heard[3].1 else {
        panic!("{heard:?}")
    };
    assert!(at >= speech.end);
}

#[test]
fn a_first_word_that_is_too_short_to_begin_a_turn_is_in_it() {
    let heard = hear(
        &RULES,
        &script(&[(".", 20), ("s", 2), (".", 8), ("s", 6)]),
        &[],
    );
    let at = position(20) - 4800;
    assert_eq!(heard, [(34, Heard::Start { at, from: at })]);
    let murmur = script(&[(",", 20), ("S", 3), (",", 7), ("S", 1), ("s", 14)]);
    let heard = hear(&RULES, &murmur, &[]);
    assert_eq!(kinds(&heard), "oxoI");
    assert_eq!(heard[3].1, Heard::Interruption { at, from: at });
}

#[test]
fn what_is_too_short_is_no_turn() {
    assert_eq!(hear(&RULES, "..s...ssss...s.s.s..mss..", &[]), []);
}

#[test]
fn speech_goes_on_behind_a_short_pause() {
    let heard = hear(
        &RULES,
        &script(&[("s", 5), (".", 3), ("s", 5), (".", 9), ("s", 3), (".", 16)]),
        &[],
    );
    assert_eq!(kinds(&heard), "SprpE");
}

#[test]
fn a_breath_in_a_pause_is_no_speech() {
    // 500 ms are 16 frames.
    let breath = script(&[("s", 5), (".", 9), ("s", 2), (".", 9)]);
    let heard = hear(&RULES, &breath, &[]);
    assert_eq!(kinds(&heard), "SpE", "what was prepared stands");
    assert_eq!(heard[2].0, 20, "and the pause counts on");
    let late = script(&[("s", 5), (".", 15), ("s", 2), (".", 1)]);
    let heard = hear(&RULES, &late, &[]);
    assert_eq!(
        heard.last().map(|heard| heard.0),
        Some(22),
        "no turn ends in a breath"
    );
    let word = script(&[("s", 5), (".", 15), ("s", 2), ("m", 1), ("s", 1), (".", 20)]);
    assert_eq!(kinds(&hear(&RULES, &word, &[])), "SprpE");
}

#[test]
fn a_judgement_that_comes_late_ends_the_turn_at_once() {
    let rules = ListenerRules {
        meaning: Some(1500),
        ..RULES
    };
    let mut turns = Turns::new(rules);
    let frame = |probability| Frame {
        probability,
        playing: false,
        onset: true,
    };
    for probability in [0.9; 9].into_iter().chain([0.1; 20]) {
        turns.push(frame(probability));
    }
    assert!(turns.wants().is_some());
    let end = turns.is_complete(true);
    assert!(matches!(end, Some(Heard::End { .. })), "{end:?}");
    assert_eq!(turns.is_complete(true), None, "there is no turn any more");
}

#[test]
fn the_owner_ends_a_turn_that_no_pause_ends() {
    let rules = ListenerRules {
        pause: None,
        ..RULES
    };
    let heard = hear(&rules, &script(&[("s", 5), (".", 500)]), &[]);
    assert_eq!(kinds(&heard), "Sp");
}

#[test]
fn a_complete_sentence_ends_soon_and_another_waits() {
    let rules = ListenerRules {
        meaning: Some(1500),
        ..RULES
    };
    let turn = script(&[("s", 9), (".", 60)]);
    let end = |complete: &[bool]| {
        let heard = hear(&rules, &turn, complete);
        assert_eq!(kinds(&heard), "SpE");
        heard[2].0
    };
    assert_eq!(end(&[true]), 9 + 6);
    assert_eq!(end(&[false, false, true]), 9 + 11);
    assert_eq!(end(&[false, false, false]), 9 + 46);
}

#[test]
fn a_sentence_that_goes_on_is_asked_about_anew() {
    let rules = ListenerRules {
        meaning: Some(1500),
        ..RULES
    };
    let heard = hear(
        &rules,
        &script(&[("s", 9), (".", 6), ("s", 9), (".", 46)]),
        &[true],
    );
    assert_eq!(kinds(&heard), "Sprp");
}

#[test]
fn a_murmur_into_an_answer_holds_it_and_a_sentence_interrupts_it() {
    // 300 ms touch ten frames, and the detector goes on for one more.
    let heard = hear(&RULES, &script(&[(",", 20), ("S", 11), (",", 8)]), &[]);
    assert_eq!(heard, [(20, Heard::Overlap), (35, Heard::OverlapOver)]);
    let heard = hear(
        &RULES,
        &script(&[(",", 20), ("S", 2), ("s", 30), (".", 20)]),
        &[],
    );
    assert_eq!(kinds(&heard), "oIpE");
    assert_eq!(
        heard[1],
        (
            31,
            Heard::Interruption {
                at: position(20) - 4800,
                from: position(20) - 4800
            }
        )
    );
}

#[test]
fn a_hiss_holds_an_answer_at_once_and_does_not_count_as_speech() {
    let heard = hear(&RULES, &script(&[(",", 9), ("H", 1), (",", 9)]), &[]);
    assert_eq!(heard, [(9, Heard::Overlap), (14, Heard::OverlapOver)]);
    // A murmur of 300 ms behind a hiss of 160 ms is still a murmur.
    let murmur = script(&[(",", 9), ("H", 5), ("S", 11), (",", 8)]);
    assert_eq!(kinds(&hear(&RULES, &murmur, &[])), "ox");
    let speech = script(&[(",", 9), ("H", 5), ("S", 12)]);
    let heard = hear(&RULES, &speech, &[]);
    let at = position(14) - 4800;
    assert_eq!(heard[1], (25, Heard::Interruption { at, from: at }));
}

#[test]
fn what_is_soon_over_holds_an_answer_no_longer_than_it_must() {
    let heard = hear(
        &RULES,
        &script(&[(",", 3), ("S", 1), (",", 9), ("M", 9)]),
        &[],
    );
    assert_eq!(heard, [(3, Heard::Overlap), (8, Heard::OverlapOver)]);
}

#[test]
fn what_comes_before_a_restart_is_in_no_turn() {
    let mut turns = Turns::new(RULES);
    turns.restart(700);
    let frame = Frame {
        probability: 0.9,
        playing: false,
        onset: false,
    };
    let start = (0..5).filter_map(|_| turns.push(frame)).last();
    assert_eq!(start, Some(Heard::Start { at: 700, from: 700 }));
}

#[test]
fn speech_soon_behind_a_turn_goes_on_with_its_question() {
    let rules = ListenerRules {
        meaning: Some(2_000),
        ..RULES
    };
    let begins = |heard: &[(usize, Heard)]| -> Vec<(u64, u64)> {
        let begun = |heard: &Heard| match *heard {
            Heard::Start { at, from } | Heard::Interruption { at, from } => Some((at, from)),
            _ => None,
        };
        heard.iter().filter_map(|(_, heard)| begun(heard)).collect()
    };
    // Complete behind 8 frames; a whole pause has 16. The answer may sound by then.
    for (quiet, speech) in [(".", "s"), (",", "S")] {
        for (pause, goes_on) in [(15, true), (16, false)] {
            let sound = [("s", 10), (".", 10), (quiet, pause - 10), (speech, 13)];
            let [first, second] = begins(&hear(&rules, &script(&sound), &[true, true]))[..] else {
                panic!("two turns")
            };
            assert!(second.0 > first.0);
            assert_eq!(second.1 == first.1, goes_on, "{pause}: {second:?}");
        }
    }
    // A third goes on with the second, and so with the first; not where it is not wanted.
    let thrice = script(&[("s", 10), (".", 10), ("s", 10), (".", 10), ("s", 10)]);
    let heard = hear(&rules, &thrice, &[true, true, true]);
    assert!(begins(&heard).iter().all(|(_, from)| *from == 0) && begins(&heard).len() == 3);
    let never = ListenerRules {
        goes_on: None,
        ..rules
    };
    let heard = hear(&never, &thrice, &[true, true, true]);
    assert!(begins(&heard).iter().all(|(at, from)| at == from));
}
