//! Options that change nothing beside the others: allowed, and said to be ignored.

use mini_omni::{Noise, Options, Source};

use super::Ask;

impl Ask {
    /// A sentence for each option that was given for nothing.
    pub fn without_effect(&self, options: &Options) -> Vec<String> {
        let sampling = &options.sampling;
        let (cold, single) = (sampling.temperature <= 0.0, sampling.top_k == 1);
        let silent = !options.task.speaks();
        let written = options.task.source() == Source::Text;
        let undrawn = (cold || single) && (silent || options.noise == Noise::Zero);
        let not_spoken = format!("since task {} does not speak", options.task.name());
        // (given, of no use, option, why)
        let rows = [
            (
                self.top_k.is_some(),
                cold,
                "--top-k",
                "without --temperature",
            ),
            (
                self.top_p.is_some(),
                cold,
                "--top-p",
                "without --temperature",
            ),
            (
                self.top_p.is_some(),
                single && !cold,
                "--top-p",
                "with --top-k 1",
            ),
            (
                self.temperature.is_some(),
                single && !cold,
                "--temperature",
                "with --top-k 1",
            ),
            (
                self.seed.is_some(),
                undrawn,
                "--seed",
                "where nothing is drawn",
            ),
            (self.noise.is_some(), silent, "--noise", &not_spoken),
            (
                self.encoder_window.is_some(),
                written,
                "--encoder-window",
                "on a written question",
            ),
            (
                self.max_seconds.is_some(),
                written,
                "--max-seconds",
                "on a written question",
            ),
            (
                self.trim || self.no_trim,
                written,
                "--trim or --no-trim",
                "on a written question",
            ),
            (
                self.answer_anything,
                written,
                "--answer-anything",
                "on a written question",
            ),
            (
                self.special_tokens,
                !written,
                "--special-tokens",
                "on a spoken question",
            ),
        ];
        rows.into_iter()
            .filter(|(given, useless, ..)| *given && *useless)
            .map(|(_, _, option, why)| format!("{option} has no effect {why}"))
            .collect()
    }
}
