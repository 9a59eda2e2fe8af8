//! How large a cache is made.

/// Positions of the smallest cache.
const SMALLEST: usize = 256;

/// Positions to make room for where `needed` are in use and never more than `most` will be: half as
/// many again, so that a cache that grows by steps is seldom copied.
pub(crate) fn capacity(needed: usize, most: usize) -> usize {
    (needed + needed / 2).max(SMALLEST).min(most).max(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_grows_by_half_and_never_beyond_what_will_be_used() {
        assert_eq!(capacity(100, 2048), 256);
        assert_eq!(capacity(100, 120), 120);
        assert_eq!(capacity(257, 2048), 385);
        assert_eq!(capacity(2000, 2048), 2048);
    }
}
