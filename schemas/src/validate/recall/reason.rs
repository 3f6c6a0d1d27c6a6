//! Reasons are words of the sender's own. A few of them name what another operation does; such a word beside an operation of
//! the opposite effect is a mistake in one of the two, and recipients who are authorities would read both.

use super::RecallEffect;

/// Words that say that a record stands no longer.
const ENDS: [&str; 21] = [
    "withdraw",
    "withdrawn",
    "withdrawal",
    "revoke",
    "revoked",
    "revoked-by-status",
    "annulled",
    "decision-annulled",
    "repair",
    "repaired",
    "replaced",
    "publication-ended",
    "撤销",
    "已撤销",
    "撤回",
    "已撤回",
    "决定已撤销",
    "修复",
    "已修复",
    "信用修复",
    "信用已修复",
];

/// Words that say that it stands, or may stand again.
const UPHOLDS: [&str; 9] = [
    "resolve",
    "resolved",
    "reinstate",
    "reinstated",
    "reinstatement",
    "restored",
    "恢复",
    "已恢复",
    "恢复效力",
];

/// Does the reason say the opposite of what the operation does? The whole reason is compared, without regard to case and
/// to `_` for `-`; what is not one of the words says nothing here.
pub(super) fn contradicts(reason: &str, effect: RecallEffect) -> bool {
    let reason = reason.trim().to_ascii_lowercase().replace('_', "-");
    let opposite: &[&str] = match effect {
        // That the decision is under dispute may well be why it is taken back.
        RecallEffect::Ends | RecallEffect::Disputes => &UPHOLDS,
        RecallEffect::Upholds => &ENDS,
    };
    opposite.contains(&reason.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_opposites_contradict() {
        use RecallEffect::{Disputes, Ends, Upholds};
        for (reason, effect, wanted) in [
            ("withdrawn", Upholds, true),
            (" Withdrawn ", Upholds, true),
            ("REVOKED_BY_STATUS", Upholds, true),
            ("信用修复", Upholds, true),
            ("reinstated", Ends, true),
            ("恢复", Ends, true),
            ("resolved", Disputes, true),
            ("withdrawn", Ends, false),
            ("repaired", Ends, false),
            ("resolved", Upholds, false),
            ("disputed", Ends, false),
            ("objection-withdrawn", Upholds, false),
            ("mistake", Upholds, false),
            ("mistake", Ends, false),
        ] {
            assert_eq!(contradicts(reason, effect), wanted, "{reason} {effect:?}");
        }
    }
}
