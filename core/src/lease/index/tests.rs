use std::collections::BTreeMap;

use fastrand::Rng;

use super::{IdHash, Index};

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
            assert_eq!(index.len, model.len(), "seed {seed}");
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
