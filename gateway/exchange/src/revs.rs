//! The range revs are drawn from and taken in. A rev is a number of JSON, so it ends at 2^53 - 1; what another node signs
//! may come near that end, and must not take the room from this node's own.

use xinqiao_evidence::MAX_SAFE_INTEGER;

/// The highest rev a line can have.
pub const HIGHEST: u64 = MAX_SAFE_INTEGER;

/// The highest rev that is taken from another node: the room above is left to nodes that pass its lines on.
pub const HIGHEST_TAKEN: u64 = HIGHEST - (1 << 40);

/// Revs of other nodes up to this one are followed: later revs of this node are above them. Revs above it are taken and
/// not followed, or one faulty node would use up the revs of all nodes behind it.
pub const HIGHEST_FOLLOWED: u64 = 1 << 52;

/// The highest rev drawn so far, as a frame or row says it. Versions that took any rev from another node may have noted one
/// that is no rev; none of their own lines was near 2^52 then, so revs go on from there.
pub fn drawn(noted: u64) -> u64 {
    if noted > HIGHEST { HIGHEST_FOLLOWED } else { noted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_of_a_rev_that_is_none_leaves_room_and_is_noted_alike_every_time() {
        assert_eq!(drawn(7), 7);
        assert_eq!(drawn(HIGHEST), HIGHEST);
        for noted in [HIGHEST + 1, u64::MAX] {
            let goes_on = drawn(noted);
            assert!(
                goes_on < HIGHEST_TAKEN && drawn(goes_on) == goes_on && drawn(goes_on + 1) == goes_on + 1
            );
        }
    }
}
