//! How the model's ids are read and written: pure rules, no graph, no file, no clock.
//!
//! A [`task`] says how a question becomes a [`prompt`] and how its answer is fed and ended
//! ([`generation`]); [`sampling`] chooses the ids, [`delay`] makes codec frames of them, [`noise`] is
//! what the codec adds.

pub(crate) mod delay;
pub(crate) mod generation;
pub(crate) mod noise;
pub(crate) mod prompt;
pub(crate) mod sampling;
pub(crate) mod task;
