use super::*;
use crate::testing::seconds;

#[test]
fn of_a_bounded_number_of_keys_it_is_known_who_was_shed() {
    let mut shed = Shed::new(seconds(10));
    let (first, second) = (MessageId::from("first"), MessageId::from("second"));
    let now = Instant::ZERO;
    for number in 0..2 * KEYS_MAX {
        let wait = shed.look(now, OrderKey::of(&number), &first, true);
        assert_eq!(wait, Some(seconds(0)));
    }
    assert_eq!(shed.firsts.len(), KEYS_MAX);

    let known = OrderKey::of(&0_usize);
    let later = now + seconds(4);
    assert_eq!(shed.look(later, known, &second, false), Some(seconds(6)));
    assert_eq!(shed.look(later, known, &first, true), Some(seconds(0)));
    assert_eq!(shed.look(later, known, &first, false), None);
    assert_eq!(shed.look(later, known, &second, false), None);

    let end = now + seconds(10);
    shed.look(end, OrderKey::of("new"), &first, true);
    shed.look(end, OrderKey::of("newer"), &first, true);
    assert_eq!(shed.firsts.len(), 2);

    // They are looked for now and then, not at every new key of too many.
    for number in 0..KEYS_MAX {
        shed.look(end + seconds(1), OrderKey::of(&number), &first, true);
    }
    assert_eq!(shed.forgot_at, end);
    shed.look(end + seconds(2), OrderKey::of("newest"), &first, true);
    assert_eq!(shed.forgot_at, end + seconds(2));
}
