//! Members that act for one authority under different lineages. Nothing refuses that, and it is right where an authority
//! changed hands; elsewhere a record sent by one of them and recalled by the other still stands, since a lineage is part of
//! what a record is.

use super::{Member, SourceRights};
use std::collections::BTreeSet;
use std::fmt;
use xinqiao_certs::Role;
use xinqiao_exchange::source::Authority;

/// Codes that are named; the others are counted.
const NAMED: usize = 3;

/// Two members and what they share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedAuthorities {
    /// The members.
    pub members: [String; 2],
    /// Codes of the authorities both act for, in two lineages, on the same days and for a dataset both send.
    pub codes: BTreeSet<String>,
}

/// Every two members that share authorities in two lineages. Patterns of nodes are not looked at, nor two nodes: there the
/// same authority by two ways is what a ring is for.
pub fn shared_authorities(members: &[Member]) -> Vec<SharedAuthorities> {
    let sources: Vec<(&Member, &SourceRights)> =
        members.iter().filter_map(|m| Some((m, m.source.as_ref()?))).collect();
    let mut all = Vec::new();
    for (n, (one, a)) in sources.iter().enumerate() {
        for (other, b) in &sources[n + 1..] {
            let both_nodes = one.role == Role::Node && other.role == Role::Node;
            if both_nodes || !a.datasets.iter().any(|d| b.datasets.contains(d)) {
                continue;
            }
            let shared = |x: &&Authority| {
                b.authorities
                    .iter()
                    .any(|y| x.code == y.code && x.overlaps(y) && lineage(one, a, x) != lineage(other, b, y))
            };
            let codes: BTreeSet<String> =
                a.authorities.iter().filter(shared).map(|x| x.code.clone()).collect();
            if !codes.is_empty() {
                all.push(SharedAuthorities { members: [one.name.clone(), other.name.clone()], codes });
            }
        }
    }
    all
}

/// The lineage of a member's records of one authority. A node's are those of the node, under whatever name.
fn lineage<'m>(member: &'m Member, source: &'m SourceRights, authority: &'m Authority) -> (bool, &'m str) {
    let named = authority.lineage.as_deref().or(source.lineage.as_deref());
    (member.role == Role::Node, named.unwrap_or(&member.name))
}

impl fmt::Display for SharedAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = &self.members;
        let named: Vec<&str> = self.codes.iter().take(NAMED).map(String::as_str).collect();
        let (named, count) = (named.join(", "), self.codes.len());
        write!(
            f,
            "lineages: members {one} and {other} both act for {named} ({count} in all) in two lineages: the same record sent by both is two \
             records, and neither can recall the other's. If it is one office, give both the same `lineage`; if the authority changed hands, \
             bound it with `until` and `from`.  归属：成员 {one} 与 {other} 均代表机关 {named}（共 {count} 个），但归属（lineage）不同：双方报送的\
             同一条记录将成为两条记录，且互相不能撤回。如属同一单位，请为两者设置相同的 lineage；如机关职责已移交，请用 until 与 from 划定期限。"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, role: Role, source: &str) -> Member {
        let text = format!(
            "name = \"{name}\"\nrole = \"{role}\"\n[source]\nunit = {{ code = \"\", name = \"\" }}\n{source}"
        );
        toml::from_str(&text).unwrap()
    }

    fn found(one: &str, other: &str) -> usize {
        let one = member("one", Role::Department, one);
        shared_authorities(&[one, member("other", Role::Department, other)]).len()
    }

    #[test]
    fn one_authority_in_two_lineages_is_found() {
        let plain = "datasets = [\"d\"]\nauthorities = [{ code = \"11350200MB0001\" }]";
        assert_eq!(found(plain, plain), 1);
        let said =
            shared_authorities(&[member("one", Role::Department, plain), member("other", Role::Node, plain)]);
        let said = said[0].to_string();
        assert!(said.contains("one and other") && said.contains("11350200MB0001 (1 in all)"), "{said}");
        assert!(said.contains("成员 one 与 other"), "{said}");
        let nodes = [member("one", Role::Node, plain), member("other", Role::Node, plain)];
        assert_eq!(shared_authorities(&nodes), []);
    }

    #[test]
    fn one_lineage_other_days_other_datasets_and_other_authorities_are_not() {
        let plain = "datasets = [\"d\"]\nauthorities = [{ code = \"A\" }]";
        for other in [
            "datasets = [\"d\"]\nlineage = \"one\"\nauthorities = [{ code = \"A\" }]",
            "datasets = [\"d\"]\nauthorities = [{ code = \"A\", lineage = \"one\" }]",
            "datasets = [\"e\"]\nauthorities = [{ code = \"A\" }]",
            "datasets = [\"d\"]\nauthorities = [{ code = \"B\" }]",
        ] {
            assert_eq!(found(plain, other), 0, "{other}");
        }
        let before = "datasets = [\"d\"]\nauthorities = [{ code = \"A\", until = \"2018-12-31\" }]";
        let after = "datasets = [\"d\"]\nauthorities = [{ code = \"A\", from = \"2019-01-01\" }]";
        assert_eq!(found(before, after), 0);
        assert_eq!(found(before, plain), 1);
    }
}
