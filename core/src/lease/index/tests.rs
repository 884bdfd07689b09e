use std::collections::BTreeMap;

use fastrand::Rng;

use super::buckets::Buckets;
use super::{IdHash, Index, MOVED_BUCKETS};

#[test]
fn random_histories_agree_with_a_map_whatever_the_collisions() {
    for seed in 0..100 {
        let mut rng = Rng::with_seed(seed);
        // Few hashes: long runs that wrap around the end.
        let spread = rng.u32(1..40);
        let mut index = Index::new();
        let mut model: BTreeMap<u32, IdHash> = BTreeMap::new();
        for slot in 0..400 {
            let hash = IdHash(u32::MAX - rng.u32(0..spread));
            index.insert(hash, slot);
            model.insert(slot, hash);
            while rng.u8(0..100) < 48 {
                let Some(gone) = rng.choice(model.keys().copied()) else {
                    break;
                };
                if let Some(hash) = model.remove(&gone) {
                    index.remove(hash, gone);
                    index.remove(hash, gone);
                }
            }
            for (slot, hash) in &model {
                let found = index.find(*hash, |other| other == *slot);
                assert_eq!(found, Some(*slot), "seed {seed}");
            }
            assert_eq!(index.len(), model.len(), "seed {seed}");
        }
    }
}

#[test]
fn random_histories_agree_with_a_map_while_it_grows() {
    for seed in 0..5 {
        let mut rng = Rng::with_seed(seed);
        let mut index = Index::new();
        let mut model: BTreeMap<u32, IdHash> = BTreeMap::new();
        let keep = rng.u8(5..40);
        for slot in 0..20_000 {
            let hash = IdHash(rng.u32(..));
            index.insert(hash, slot);
            model.insert(slot, hash);
            if rng.u8(0..100) > keep
                && let Some((gone, hash)) = model.range(rng.u32(0..=slot)..).next()
            {
                let (gone, hash) = (*gone, *hash);
                index.remove(hash, gone);
                model.remove(&gone);
                assert_eq!(index.find(hash, |other| other == gone), None);
            }
            if let Some((slot, hash)) = model.range(rng.u32(0..=slot)..).next() {
                let found = index.find(*hash, |other| other == *slot);
                assert_eq!(found, Some(*slot), "seed {seed}");
            }
            assert_eq!(index.len(), model.len(), "seed {seed}");
        }
        for (slot, hash) in &model {
            assert_eq!(index.find(*hash, |other| other == *slot), Some(*slot));
            index.remove(*hash, *slot);
        }
        assert!(index.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_search_ends_where_every_bucket_has_passed_one_on() {
    let (count, mut slots) = (4, 0..);
    let mut buckets = Buckets::new(count as usize);
    // One that is passed on from each, to where it takes a place itself; the others go again.
    for home in 0..count {
        let room = if home == 0 { 7 } else { 6 };
        let others: Vec<u32> = slots.by_ref().take(room).collect();
        for slot in &others {
            buckets.insert(home, *slot);
        }
        buckets.insert(home, slots.next().unwrap_or_default());
        for slot in &others {
            assert!(buckets.remove(home, *slot));
        }
    }
    assert_eq!(buckets.len(), 4);

    for hash in 0..count {
        assert_eq!(buckets.find(hash + count, |_| true), None);
        assert!(!buckets.remove(hash + count, 99));
    }
    for home in 0..count {
        assert!(buckets.find(home, |_| true).is_some());
    }
}

#[test]
fn no_insertion_moves_more_than_a_few_entries() {
    let mut index = Index::new();
    let mut rng = Rng::with_seed(0);
    for slot in 0..10_000 {
        let left = |index: &Index| index.older.as_ref().map(Buckets::len);
        let before = left(&index);
        index.insert(IdHash(rng.u32(..)), slot);
        if let Some(before) = before {
            let moved = before - left(&index).unwrap_or(0);
            assert!(moved <= 7 * MOVED_BUCKETS, "{moved} for {slot}");
        }
    }
}

#[test]
fn ids_that_differ_in_one_letter_or_in_length_spread() {
    let index = Index::new();
    let ids = (0..10_000).map(|number| number.to_string());
    let zeros = (0..100).map(|count| "\0".repeat(count));
    let mut hashes: Vec<u32> = ids.chain(zeros).map(|id| index.hash(&id).0).collect();

    hashes.sort_unstable();
    hashes.dedup();

    // Of 10,100 among four billion about a hundredth of one is expected to collide.
    assert!(hashes.len() >= 10_097, "{}", hashes.len());
}

#[test]
fn every_byte_of_an_id_and_its_length_count() {
    let index = Index::new();
    for len in 1..=40 {
        let id = "a".repeat(len);
        let hash = index.hash(&id);
        assert_ne!(hash, index.hash(&id[1..]), "length {len}");
        for place in 0..len {
            let mut other = id.clone();
            other.replace_range(place..=place, "b");
            assert_ne!(hash, index.hash(&other), "length {len}, place {place}");
        }
    }
}
