use proptest::prelude::*;

use super::{Flow, Load};

fn load(count: usize, bytes: usize) -> Load {
    Load { count, bytes }
}

#[test]
fn the_intake_rests_at_the_limit_and_goes_on_when_a_fifth_of_it_is_free() {
    let mut flow = Flow::new(10, usize::MAX);

    let rooms = [0, 9, 10, 9, 8, 9, 10].map(|count| flow.room(load(count, 0)));

    assert_eq!(rooms, [10, 1, 0, 0, 2, 1, 0]);
}

#[test]
fn either_limit_suffices_to_rest_and_both_must_be_met_to_go_on() {
    let mut flow = Flow::new(10, 1000);
    flow.is_too_much(load(0, 0), 1);

    assert_eq!(flow.room(load(3, 1000)), 0);
    assert_eq!(flow.room(load(10, 900)), 0);
    assert_eq!(flow.room(load(8, 801)), 0);
    assert!(flow.is_full());
    assert_eq!(flow.room(load(9, 800)), 0);
    assert!(flow.room(load(8, 800)) > 0);
    assert!(!flow.is_full());
}

#[test]
fn no_more_is_asked_for_than_will_fit_as_far_as_can_be_known() {
    let mut flow = Flow::new(1000, 1000);
    assert_eq!(flow.room(load(0, 0)), 1, "nothing is known yet");
    for _ in 0..200 {
        flow.is_too_much(load(0, 0), 100);
    }

    let room = flow.room(load(2, 200));

    assert!((7..=9).contains(&room), "{room}");
}

#[test]
fn one_message_that_is_more_than_the_limit_passes_while_there_is_room() {
    let mut flow = Flow::new(10, 1000);

    assert!(!flow.is_too_much(load(0, 0), 9000));
    assert!(!flow.is_too_much(load(1, 999), 9000));
    assert!(flow.is_too_much(load(1, 1000), 9000));
}

#[test]
fn what_follows_too_much_in_a_batch_is_too_much_as_well() {
    let mut flow = Flow::new(10, 1000);
    assert!(!flow.is_too_much(load(1, 1000), 1000));
    assert!(flow.is_too_much(load(2, 2000), 1));
    assert!(flow.is_too_much(load(1, 0), 1));

    flow.begin_batch();

    assert!(!flow.is_too_much(load(1, 0), 1));
    assert!(!flow.is_too_much(load(19, 0), 1));
    assert!(flow.is_too_much(load(20, 0), 1));
}

proptest! {
    /// Whatever the broker delivers, and however large.
    #[test]
    fn what_is_in_hand_is_bounded_and_an_empty_hand_never_rests(
        count_max in 1..50_usize,
        bytes_max in 1..5_000_usize,
        batches in prop::collection::vec(
            (prop::collection::vec(0..2_000_usize, 0..80), any::<prop::sample::Index>()),
            0..40,
        ),
    ) {
        let (mut flow, mut hand) = (Flow::new(count_max, bytes_max), Vec::<usize>::new());
        for (batch, kept) in batches {
            let largest = hand.iter().chain(&batch).copied().max().unwrap_or(0);
            let weigh = |hand: &[usize]| load(hand.len(), hand.iter().sum());
            let room = flow.room(weigh(&hand));
            prop_assert!(room + hand.len() <= count_max.max(hand.len()));
            flow.begin_batch();
            for bytes in batch {
                if !flow.is_too_much(weigh(&hand), bytes) {
                    hand.push(bytes);
                }
            }
            let Load { count, bytes } = weigh(&hand);
            prop_assert!(count <= 2 * count_max);
            prop_assert!(bytes <= (2 * bytes_max).max(bytes_max + largest), "{} bytes", bytes);
            hand.truncate(kept.index(hand.len() + 1));
        }
        prop_assert!(flow.room(load(0, 0)) > 0);
    }
}
