//! G.711, the telephone's two laws: a sample in 8 bits, fine where it is quiet.

/// One of the two laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// North America and Japan.
    Mu,
    /// The rest of the world.
    A,
}

/// Added to a µ-law magnitude, so that each of its segments is twice as long as the one before.
const BIAS: i32 = 0x84;
/// The largest µ-law magnitude.
const CLIP: i32 = 0x7fff - BIAS;
/// A-law's even bits are turned over on the line.
const EVEN_BITS: u8 = 0x55;

impl Law {
    /// 16 bits to 8.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Law::Mu => mu_encode(sample),
            Law::A => a_encode(sample),
        }
    }

    /// 8 bits to 16.
    pub fn decode(self, code: u8) -> i16 {
        match self {
            Law::Mu => mu_decode(code),
            Law::A => a_decode(code),
        }
    }
}

fn mu_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    let segment = 24 - magnitude.leading_zeros();
    let step = (magnitude >> (segment + 3)) & 0xf;
    !(sign | (segment as u8) << 4 | step as u8)
}

fn mu_decode(code: u8) -> i16 {
    let code = !code;
    let magnitude = ((i32::from(code & 0xf) << 3) + BIAS) << ((code & 0x70) >> 4);
    let sample = magnitude - BIAS;
    (if code & 0x80 == 0 { sample } else { -sample }) as i16
}

fn a_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    // Of the negative ones, -1 is the first, as 0 is of the others.
    let magnitude = i32::from(if sample < 0 { !sample } else { sample });
    let segment = (24 - (magnitude | 0x80).leading_zeros()) as u8;
    let step = magnitude >> (segment.max(1) + 3) & 0xf;
    (sign | segment << 4 | step as u8) ^ EVEN_BITS
}

fn a_decode(code: u8) -> i16 {
    let code = code ^ EVEN_BITS;
    let step = (i32::from(code & 0xf) << 4) + 8;
    let magnitude = match (code & 0x70) >> 4 {
        0 => step,
        segment => (step + 0x100) << (segment - 1),
    };
    (if code & 0x80 == 0 {
        -magnitude
    } else {
        magnitude
    }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each code times its place, from one: Python's audioop has the same sums.
    fn sum(law: Law) -> i64 {
        (0..=255u8)
            .map(|code| (i64::from(code) + 1) * i64::from(law.decode(code)))
            .sum()
    }

    #[test]
    fn codes_mean_what_they_mean_elsewhere() {
        assert_eq!((sum(Law::Mu), sum(Law::A)), (98_107_392, 100_139_008));
        let known = [(0, -32_124, -5_504), (0x55, -716, -8), (200, 1_372, 472)];
        for (code, mu, a) in known {
            assert_eq!((Law::Mu.decode(code), Law::A.decode(code)), (mu, a));
        }
    }

    #[test]
    fn samples_become_the_codes_that_they_become_elsewhere() {
        let known = [
            (100, 242, 211),
            (-100, 114, 83),
            (1_000, 206, 250),
            (20_000, 140, 166),
            (-20_000, 12, 38),
            (32_767, 128, 170),
            (-32_768, 0, 42),
        ];
        for (sample, mu, a) in known {
            assert_eq!((Law::Mu.encode(sample), Law::A.encode(sample)), (mu, a));
        }
    }

    #[test]
    fn every_sample_stays_near_itself() {
        for sample in i16::MIN..=i16::MAX {
            let loud = i32::from(sample).abs();
            for law in [Law::Mu, Law::A] {
                let back = i32::from(law.decode(law.encode(sample)));
                let off = (back - i32::from(sample)).abs();
                // Half a step, of which a segment has 16; the loudest are cut.
                assert!(off <= loud / 32 + 8 || loud > 32_000, "{sample}: {back}");
            }
        }
    }

    #[test]
    fn codes_are_kept() {
        for code in 0..=255u8 {
            assert_eq!(Law::A.encode(Law::A.decode(code)), code);
            // µ-law has two zeros.
            let again = Law::Mu.encode(Law::Mu.decode(code));
            assert!(again == code || code == 0x7f, "{code}: {again}");
        }
    }
}
