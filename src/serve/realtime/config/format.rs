//! How sound is written, in the words of the protocol.

use serde::{Deserialize, Deserializer, Serialize};

use crate::serve::realtime::client::{Refusal, refusal};

/// How sound is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Format {
    /// 16 bits, little-endian, mono.
    #[serde(rename = "audio/pcm")]
    Pcm {
        #[serde(default = "pcm_rate", deserialize_with = "null_is_pcm_rate")]
        rate: u32,
    },
    /// µ-law.
    #[serde(rename = "audio/pcmu")]
    Pcmu {},
    /// A-law.
    #[serde(rename = "audio/pcma")]
    Pcma {},
}

/// Hz of the telephone's formats.
const TELEPHONE_RATE: u32 = 8_000;

/// Hz: the only rate that PCM may have.
fn pcm_rate() -> u32 {
    24_000
}

fn null_is_pcm_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(pcm_rate))
}

impl Format {
    /// Hz.
    pub fn rate(self) -> u32 {
        match self {
            Format::Pcm { .. } => pcm_rate(),
            Format::Pcmu {} | Format::Pcma {} => TELEPHONE_RATE,
        }
    }

    /// Refuses a rate that PCM does not have here.
    pub fn check(self) -> Result<(), Refusal> {
        match self {
            Format::Pcm { rate } if rate != pcm_rate() => Err(refusal(
                "invalid_value",
                format!("audio/pcm has a rate of 24000 Hz, not {rate}"),
            )),
            _ => Ok(()),
        }
    }
}

impl Default for Format {
    fn default() -> Format {
        Format::Pcm { rate: pcm_rate() }
    }
}
