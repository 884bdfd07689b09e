use super::{Handle, Slab};

fn insert<T>(slab: &mut Slab<T>, value: T) -> Handle {
    let (handle, place) = slab.take();
    *place = Some(value);
    handle
}

#[test]
fn a_handle_of_a_removed_value_names_nothing_after_its_slot_is_reused() {
    let mut slab = Slab::new();
    let old = insert(&mut slab, "old");
    assert!(slab.remove(old, |_| false));

    let new = insert(&mut slab, "new");

    assert_ne!(old, new);
    assert_eq!(slab.get(old), None);
    assert_eq!(slab.get_mut(old), None);
    assert!(!slab.remove(old, |_| false));
    assert_eq!(slab.get(new), Some(&"new"));
    assert_eq!(slab.len(), 1);
}

#[test]
fn a_retired_value_is_gone_and_is_found_by_whoever_takes_its_slot() {
    let mut slab = Slab::new();
    let [kept, dropped] = ["kept", "dropped"].map(|value| insert(&mut slab, value));
    assert!(slab.remove(kept, |_| true));
    assert!(slab.remove(dropped, |_| false));

    assert_eq!((slab.len(), slab.handles().count()), (0, 0));
    assert_eq!((slab.get(kept), slab.get(dropped)), (None, None));
    assert!(!slab.remove(kept, |_| true));

    assert_eq!(slab.take().1, &Some("kept"));
    assert_eq!(slab.take().1, &None);
}

#[test]
fn handles_lists_what_is_left() {
    let mut slab = Slab::new();
    let handles = [0, 1, 2, 3].map(|value| insert(&mut slab, value));
    slab.remove(handles[1], |_| false);

    let left: Vec<_> = slab.handles().collect();

    assert_eq!(left, [handles[0], handles[2], handles[3]]);
}
