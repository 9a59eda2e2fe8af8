//! Opus packets to samples: what browsers and messengers record.
//!
//! Containers carry a header of Opus' own, which tells channels, gain, and how many samples of the
//! beginning are the encoder warming up.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::packet::Packet;

/// Hz; Opus always decodes to it.
pub(super) const SAMPLE_RATE: u32 = 48_000;
/// Samples of each channel in the longest packet: 120 ms.
const LONGEST: usize = SAMPLE_RATE as usize * 120 / 1000;

pub(super) struct Opus {
    decoder: ropus::OpusMSDecoder,
    pub channels: usize,
    /// Samples of each channel still to be left out.
    skip: usize,
    /// A factor.
    gain: f32,
    /// One packet's samples.
    pcm: Vec<i16>,
}

/// What OpusHead tells (RFC 7845, section 5.1).
struct Head {
    channels: u8,
    /// Samples of each channel.
    pre_skip: u16,
    /// 1/256 dB.
    gain: i16,
    /// Coded streams, and how many of the first of them are stereo.
    streams: (u8, u8),
    /// The place of each channel among the streams' channels.
    mapping: Vec<u8>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Head> {
        let [version, channels, fields @ ..] = bytes.strip_prefix(b"OpusHead")? else {
            return None;
        };
        let u16_at = |at: usize| {
            let bytes = fields.get(at..at + 2)?.try_into().ok()?;
            // MPEG-4 writes version 0, and the other end first.
            Some(if *version == 0 {
                u16::from_be_bytes(bytes)
            } else {
                u16::from_le_bytes(bytes)
            })
        };
        let (streams, mapping) = match fields.get(8)? {
            0 => plain_mapping(*channels)?,
            _ => {
                let mapping = fields.get(11..11 + usize::from(*channels))?;
                ((*fields.get(9)?, *fields.get(10)?), mapping.to_vec())
            }
        };
        Some(Head {
            channels: *channels,
            pre_skip: u16_at(0)?,
            gain: u16_at(6)?.cast_signed(),
            streams,
            mapping,
        })
    }

    /// CAF has no such header.
    fn without(channels: usize) -> Option<Head> {
        let channels = u8::try_from(channels).ok()?;
        let (streams, mapping) = plain_mapping(channels)?;
        Some(Head {
            channels,
            pre_skip: 0,
            gain: 0,
            streams,
            mapping,
        })
    }
}

/// One stream, mono or stereo.
fn plain_mapping(channels: u8) -> Option<((u8, u8), Vec<u8>)> {
    match channels {
        1 => Some(((1, 0), vec![0])),
        2 => Some(((1, 1), vec![0, 1])),
        _ => None,
    }
}

impl Opus {
    /// `None` where the header is not one.
    pub fn new(params: &AudioCodecParameters) -> Option<Opus> {
        let head = match &params.extra_data {
            Some(bytes) => Head::parse(bytes)?,
            None => Head::without(params.channels.as_ref()?.count())?,
        };
        let channels = usize::from(head.channels);
        if !(1..=8).contains(&channels) {
            return None;
        }
        let decoder = ropus::OpusMSDecoder::new(
            SAMPLE_RATE as i32,
            channels as i32,
            i32::from(head.streams.0),
            i32::from(head.streams.1),
            &head.mapping,
        );
        Some(Opus {
            decoder: decoder.ok()?,
            channels,
            skip: usize::from(head.pre_skip),
            gain: 10f32.powf(f32::from(head.gain) / (20.0 * 256.0)),
            pcm: vec![0; LONGEST * channels],
        })
    }

    /// Puts the packet's samples, interleaved, into `samples`. Returns false where it is damaged.
    pub fn decode(&mut self, packet: &Packet, samples: &mut Vec<f32>) -> bool {
        samples.clear();
        let data = &packet.data;
        let Ok(length) = i32::try_from(data.len()) else {
            return false;
        };
        let decoded = (length > 0).then(|| {
            self.decoder
                .decode(Some(data), length, &mut self.pcm, LONGEST as i32, false)
        });
        let Some(Ok(frames)) = decoded else {
            return false;
        };
        let frames = usize::try_from(frames).unwrap_or(0).min(LONGEST);
        let skip = self.skip.min(frames);
        self.skip -= skip;
        let padding = usize::try_from(packet.trim_end.get()).unwrap_or(frames);
        let end = frames.saturating_sub(padding).max(skip);
        let kept = &self.pcm[skip * self.channels..end * self.channels];
        let scale = self.gain / 32_768.0;
        samples.extend(kept.iter().map(|&x| f32::from(x) * scale));
        true
    }
}
