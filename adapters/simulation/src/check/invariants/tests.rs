use std::collections::BTreeSet;

use super::INVARIANTS;

/// What a run that cannot go on is called: no checker tells it.
const ENDS: [&str; 2] = ["no hang", "no panic"];

#[test]
fn every_promise_stands_in_the_table_of_invariants_and_no_other_does() {
    let text = include_str!("../invariants.rs");
    let (table, _) = text.split_once("pub const").expect("the table is its doc");
    let rows = table.lines().filter(|line| line.starts_with("/// | "));
    let named: BTreeSet<&str> = rows
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .collect();
    let listed = INVARIANTS.iter().map(|(name, _)| *name);
    assert_eq!(named, listed.chain(ENDS).collect());
}
