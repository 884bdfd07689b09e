//! The bugs that `plant.py` plants: each has its place in the engine as it is, and is hunted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use mayhem_sim_runner::bugs;

#[test]
fn every_planted_bug_has_one_place_in_the_engine() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = BTreeMap::new();
    let mut missed = Vec::new();
    for (file, old, new) in plants() {
        let source = sources.entry(file.clone()).or_insert_with(|| {
            let path = package.join("../../core/src").join(&file);
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        });
        let count = source.matches(&old).count();
        if count != 1 {
            missed.push(format!("{count} times in {file}: {old}"));
        }
        *source = source.replacen(&old, &new, 1);
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

#[test]
fn every_planted_bug_is_hunted_and_no_other() {
    let mut planted = BTreeSet::new();
    for (_, _, new) in plants() {
        let names = new.split("B(\"").skip(1);
        planted.extend(names.filter_map(|it| it.split_once('"').map(|(name, _)| name.to_owned())));
    }

    let hunted: BTreeSet<String> = bugs().map(str::to_owned).collect();

    assert_eq!(hunted, planted);
    assert_eq!(bugs().count(), hunted.len(), "one is hunted twice");
}

/// The file, the text and what stands there instead, of each place.
fn plants() -> Vec<(String, String, String)> {
    let (files, places) = PLANT.split_once("\nP=[\n").expect("there is a list");
    let (places, _) = places.split_once("\n]\n").expect("it has an end");
    let files = files.lines().last().unwrap_or_default();
    // `H='consumer/handling.rs';S='...'`
    let files: BTreeMap<&str, String> = files
        .split(';')
        .filter_map(|file| file.split_once('='))
        .map(|(name, path)| (name, text(path).0))
        .collect();
    let place = |line: &str| {
        let line = line.strip_prefix('(').expect("a place is in brackets");
        let (file, rest) = match files.iter().find(|(name, _)| line.starts_with(**name)) {
            Some((name, path)) => (path.clone(), &line[name.len()..]),
            None => text(line),
        };
        let (old, rest) = text(&rest[1..]);
        let (new, rest) = text(&rest[1..]);
        assert_eq!(rest, "),", "{line}");
        (file, old, new)
    };
    places.lines().map(place).collect()
}

/// A text in Python's single quotes, and what follows it.
fn text(source: &str) -> (String, &str) {
    let inner = source.strip_prefix('\'').expect("a text is in quotes");
    let (mut text, mut chars) = (String::new(), inner.char_indices());
    loop {
        match chars.next() {
            Some((end, '\'')) => return (text, &inner[end + 1..]),
            Some((_, '\\')) => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, same @ ('\'' | '\\'))) => text.push(same),
                other => panic!("\\ before {other:?} in {source}"),
            },
            Some((_, other)) => text.push(other),
            None => panic!("no end of {source}"),
        }
    }
}

const PLANT: &str = include_str!("../plant.py");
