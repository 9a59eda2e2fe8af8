//! What a model's answers are worth, held against labels. Pure: no model, no file.
//!
//! A transcription is compared word by word and character by character, after one of two [`Rule`]s of
//! what counts as the same. An answer is right if it says what was [`Expected`]. A figure over a set
//! comes with the [`Interval`] in which another set of that size would lie.

mod english;
mod expected;
mod interval;
mod quoted;
mod rate;
mod rule;

pub use expected::Expected;
pub use interval::{Interval, interval, median};
pub use quoted::quoted;
pub use rate::Errors;
pub use rule::Rule;
