//! Is it slower than before? A difference counts once it is larger than the medians' own uncertainty.

use super::report::Report;
use crate::cli::stats::Stats;

/// Two runs of one build differ by as much, whatever each says of itself: machines have moods.
const LEAST_CHANGE: f64 = 0.05;
/// Student's t for 1, 2, … degrees of freedom: beyond it lies one difference in 200 that is none.
const T: [f64; 18] = [
    127.3, 14.09, 7.453, 5.598, 4.773, 4.317, 4.029, 3.833, 3.690, 3.581, 3.497, 3.428, 3.372,
    3.326, 3.286, 3.252, 3.222, 3.197,
];

/// What became of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Slower,
    Faster,
    NoDifference,
    /// A single measurement says nothing about its own uncertainty.
    TooFew,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Slower => "slower",
            Verdict::Faster => "faster",
            Verdict::NoDifference => "no difference seen",
            Verdict::TooFew => "too few to tell",
        }
    }
}

/// Judges the change of a median.
pub fn verdict(now: &Stats, then: &Stats) -> Verdict {
    let (Some(one), Some(other)) = (now.error(), then.error()) else {
        return Verdict::TooFew;
    };
    let freedom = now.groups() + then.groups() - 2;
    let noise = T[freedom.min(T.len()) - 1] * one.hypot(other);
    let difference = now.p50 - then.p50;
    // Written so that what is no number is no difference.
    let seen = difference.abs() > noise && difference.abs() > LEAST_CHANGE * then.p50;
    match seen {
        true if difference > 0.0 => Verdict::Slower,
        true => Verdict::Faster,
        false => Verdict::NoDifference,
    }
}

/// The change of a stage as the end of its line.
pub fn change(name: &str, now: &Stats, before: &Report) -> String {
    let Some(then) = stage(before, name) else {
        return "  new".into();
    };
    let percent = (now.p50 / then.p50 - 1.0) * 100.0;
    format!("  {percent:+.1} %, {}", verdict(now, then).name())
}

/// The verdict over all stages, as lines below the table.
pub fn summary(now: &Report, before: &Report) -> String {
    let of = |asked: Verdict| {
        let judged = now.stages_ms.iter().filter(|(name, stats)| {
            stage(before, name).is_some_and(|then| verdict(stats, then) == asked)
        });
        let names: Vec<_> = judged.map(|(name, _)| name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{} than before: {}\n", asked.name(), names.join("; ")))
    };
    let lines: String = [Verdict::Slower, Verdict::Faster]
        .into_iter()
        .filter_map(of)
        .collect();
    match lines.is_empty() {
        true => "no difference seen to the run before\n".into(),
        false => lines,
    }
}

fn stage<'r>(report: &'r Report, name: &str) -> Option<&'r Stats> {
    let found = report.stages_ms.iter().find(|(other, _)| other == name);
    found.map(|(_, stats)| stats)
}

/// What differs between two runs beside their times, so that the times cannot be compared.
pub fn unlike(now: &Report, before: &Report) -> Vec<String> {
    let conversations = |r: &Report| {
        let asked = r.conversations.as_ref();
        asked.map(|c| format!("{} s, buffer {} ms", c.answer_seconds, c.player_buffer_ms))
    };
    let said = |r: &Report| {
        [
            ("model", Some(format!("{} {:.12}", r.model, r.model_hash))),
            ("processor", Some(r.cpu.clone())),
            ("threads", Some(r.threads.to_string())),
            ("provider", Some(r.provider.clone())),
            ("kernels", r.kernels.clone()),
            ("ONNX Runtime", Some(r.onnxruntime.clone())),
            ("task", Some(r.task.clone())),
            ("encoder window", Some(r.encoder_window.clone())),
            ("question", Some(format!("{:.2} s", r.question_seconds))),
            ("steps", r.steps.map(|n| n.to_string())),
            ("conversations", conversations(r)),
        ]
    };
    let pairs = said(now).into_iter().zip(said(before));
    pairs
        .filter_map(|((name, now), (_, then))| {
            let (now, then) = (now?, then?);
            (now != then).then(|| format!("{name} {now}, before {then}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers between 0 and 1.
    struct Draws(u64);

    impl Draws {
        fn next(&mut self) -> f64 {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    /// Steps of `ms` as a shared machine shows them: rounds of their own speed, a tenth of the steps
    /// up to twice as long.
    fn run(seed: u64, ms: f64, n: usize) -> Stats {
        let mut draws = Draws(seed.wrapping_mul(0x9E3779B97F4A7C15));
        let mut mood = 1.0;
        let values = (0..n).map(|i| {
            if i % (n / 5).max(1) == 0 {
                mood = 0.98 + 0.04 * draws.next();
            }
            let burst = if draws.next() < 0.1 {
                draws.next()
            } else {
                0.0
            };
            ms * mood * (0.95 + 0.1 * draws.next() + burst)
        });
        Stats::of(values.collect()).expect("values")
    }

    fn verdicts(ms: f64, n: usize) -> Vec<Verdict> {
        (1..=200)
            .map(|seed| verdict(&run(seed, ms, n), &run(1000 + seed, 10.0, n)))
            .collect()
    }

    #[test]
    fn a_step_that_is_a_fifth_slower_or_faster_is_found() {
        assert!(verdicts(12.0, 535).iter().all(|v| *v == Verdict::Slower));
        assert!(verdicts(8.0, 535).iter().all(|v| *v == Verdict::Faster));
        assert!(verdicts(12.0, 107).iter().all(|v| *v == Verdict::Slower));
    }

    #[test]
    fn the_same_step_is_not_flagged() {
        for n in [5, 107, 535] {
            let flagged = verdicts(10.0, n)
                .iter()
                .filter(|v| **v != Verdict::NoDifference)
                .count();
            assert!(flagged <= 2, "{flagged} of 200 with {n} measurements");
        }
    }

    #[test]
    fn a_report_without_errors_is_judged_by_its_spread() {
        let old = |ms: f64| Stats {
            p50_error: None,
            ..run(3, ms, 535)
        };
        assert_eq!(verdict(&old(12.0), &old(10.0)), Verdict::Slower);
        assert_eq!(verdict(&old(10.0), &old(10.0)), Verdict::NoDifference);
    }

    #[test]
    fn one_measurement_tells_nothing_and_no_number_is_no_difference() {
        assert_eq!(verdict(&run(1, 9.0, 1), &run(2, 3.0, 1)), Verdict::TooFew);
        let none = Stats {
            p50: f64::NAN,
            ..run(1, 9.0, 50)
        };
        assert_eq!(verdict(&none, &run(2, 3.0, 50)), Verdict::NoDifference);
    }
}
