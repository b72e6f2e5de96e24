//! Numbers drawn from their parts alone, so that what the mock plays is the same in every run.
//!
//! Owns no table, and never reads a clock or a source of randomness.

use sha2::{Digest, Sha256};

/// The hash of the parts; each part counts with its length, so that `["ab", "c"]` differs from `["a", "bc"]`.
pub(crate) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A number spread evenly over all of `u64`.
pub(crate) fn draw(parts: &[&[u8]]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = digest(parts);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The first `digits` (at most 64) lowercase hexadecimal digits of the hash.
pub(crate) fn hex(parts: &[&[u8]], digits: usize) -> String {
    let mut text: String = digest(parts).iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(digits);
    text
}

/// Whether an event of probability `share` (0 never, 1 always) comes with this drawn number.
pub(crate) fn happens(drawn: u64, share: f64) -> bool {
    // The top 53 bits are exact in an `f64`, so that 0 never and 1 always happens.
    ((drawn >> 11) as f64) < share * (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_count_with_their_borders() {
        assert_ne!(draw(&[b"ab", b"c"]), draw(&[b"a", b"bc"]));
        assert_eq!(draw(&[b"ab", b"c"]), draw(&[b"ab", b"c"]));
        assert_eq!(hex(&[b"a"], 12).len(), 12);
    }

    #[test]
    fn a_share_of_none_never_and_of_all_always_happens() {
        for drawn in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(!happens(drawn, 0.0));
            assert!(happens(drawn, 1.0));
        }
        let often = (0..10_000_u32).filter(|n| happens(draw(&[&n.to_be_bytes()]), 0.3)).count();
        assert!((2_800..3_200).contains(&often), "{often}");
    }
}
