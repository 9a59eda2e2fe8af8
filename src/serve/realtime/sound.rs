//! Sound as the protocol carries it: base64 of one of its formats.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client::{Refusal, refusal};
use super::config::Format;
use super::g711::Law;

/// Samples of one delta, at most: its base64 stays under 64 KiB.
pub const MOST_SAMPLES: usize = 24_000;

/// What 1.0 is in 16 bits.
const FULL_SCALE: f32 = 32_768.0;

/// Reads what a client sent: samples at the format's rate.
pub fn decode(audio: &str, format: Format) -> Result<Vec<f32>, Refusal> {
    let invalid =
        |why: String| refusal("invalid_audio", format!("the audio cannot be read: {why}"));
    let bytes = STANDARD
        .decode(audio)
        .map_err(|error| invalid(error.to_string()))?;
    if let (Format::Pcm { .. }, 1) = (format, bytes.len() % 2) {
        return Err(invalid(format!(
            "{} bytes are no 16-bit samples",
            bytes.len()
        )));
    }
    let law = |law: Law| {
        bytes
            .iter()
            .map(|&code| to_float(law.decode(code)))
            .collect()
    };
    Ok(match format {
        Format::Pcm { .. } => {
            let (pairs, _) = bytes.as_chunks::<2>();
            pairs
                .iter()
                .map(|&pair| to_float(i16::from_le_bytes(pair)))
                .collect()
        }
        Format::Pcmu {} => law(Law::Mu),
        Format::Pcma {} => law(Law::A),
    })
}

/// Writes samples at the format's rate.
pub fn encode(samples: &[f32], format: Format) -> String {
    let samples = samples.iter().map(|&sample| from_float(sample));
    let bytes: Vec<u8> = match format {
        Format::Pcm { .. } => samples.flat_map(i16::to_le_bytes).collect(),
        Format::Pcmu {} => samples.map(|sample| Law::Mu.encode(sample)).collect(),
        Format::Pcma {} => samples.map(|sample| Law::A.encode(sample)).collect(),
    };
    STANDARD.encode(bytes)
}

fn to_float(sample: i16) -> f32 {
    f32::from(sample) / FULL_SCALE
}

fn from_float(sample: f32) -> i16 {
    // The cast keeps to i16's limits.
    (sample * FULL_SCALE).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: [Format; 3] = [
        Format::Pcm { rate: 24_000 },
        Format::Pcmu {},
        Format::Pcma {},
    ];

    #[test]
    fn sound_comes_back() {
        let sine: Vec<f32> = (0..4_000).map(|i| 0.5 * (i as f32 * 0.05).sin()).collect();
        for (format, off) in FORMATS.into_iter().zip([2e-5, 0.02, 0.02]) {
            let back = decode(&encode(&sine, format), format).expect("sound");
            assert_eq!(back.len(), sine.len());
            let worst = sine
                .iter()
                .zip(&back)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst < off, "{format:?}: {worst}");
        }
    }

    #[test]
    fn what_is_too_loud_is_cut_and_no_number_is_silence() {
        let back = decode(&encode(&[2.0, -2.0, f32::NAN], FORMATS[0]), FORMATS[0]).expect("sound");
        assert_eq!(back, [32_767.0 / 32_768.0, -1.0, 0.0]);
    }

    #[test]
    fn what_is_no_sound_is_refused() {
        for bad in ["*", "AAA", "AAAA"] {
            let refused = decode(bad, FORMATS[0]).expect_err("no samples");
            assert_eq!(refused.code, "invalid_audio");
        }
        assert!(decode("", FORMATS[0]).expect("nothing").is_empty());
    }

    #[test]
    fn a_delta_is_under_64_kib() {
        let longest = encode(&vec![0.0; MOST_SAMPLES], FORMATS[0]);
        assert!(longest.len() < 65_536 - 512, "{}", longest.len());
    }
}
