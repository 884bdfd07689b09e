use super::Slab;

#[test]
fn a_handle_of_a_removed_value_names_nothing_after_its_slot_is_reused() {
    let mut slab = Slab::new();
    let old = slab.insert(|_| "old");
    assert_eq!(slab.remove(old), Some("old"));

    let new = slab.insert(|_| "new");

    assert_ne!(old, new);
    assert_eq!(slab.get(old), None);
    assert_eq!(slab.get_mut(old), None);
    assert_eq!(slab.remove(old), None);
    assert_eq!(slab.get(new), Some(&"new"));
    assert_eq!(slab.len(), 1);
}

#[test]
fn handles_lists_what_is_left() {
    let mut slab = Slab::new();
    let handles: Vec<_> = (0..4).map(|value| slab.insert(|_| value)).collect();
    slab.remove(handles[1]);

    let left: Vec<_> = slab.handles().collect();

    assert_eq!(left, [handles[0], handles[2], handles[3]]);
}
