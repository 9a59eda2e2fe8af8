//! Durations in sentences.

use super::Second;

/// `seconds` with as many decimals as tell it from `limit`: "30.01" beside 30, not "30.0".
pub fn seconds_apart(seconds: Second, limit: Second) -> String {
    const MOST_DECIMALS: usize = 9;
    let told = |decimals: usize| format!("{seconds:.decimals$}");
    let apart = |text: &String| text.parse() != Ok(limit);
    (1..=MOST_DECIMALS)
        .map(told)
        .find(apart)
        .unwrap_or_else(|| told(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_never_looks_like_the_limit_it_exceeds() {
        assert_eq!(seconds_apart(31.0, 30.0), "31.0");
        assert_eq!(seconds_apart(30.01, 30.0), "30.01");
        assert_eq!(seconds_apart(480_001.0 / 16_000.0, 30.0), "30.0001");
        assert_eq!(seconds_apart(29.999, 30.0), "29.999");
        assert_eq!(seconds_apart(30.0, 30.0), "30.0");
        assert_eq!(seconds_apart(2.54, 2.5), "2.54");
    }
}
