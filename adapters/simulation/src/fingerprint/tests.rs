use super::word_of;

#[test]
fn a_word_has_its_bytes_from_the_lowest_on() {
    let bytes = [0x81, 2, 0x83, 4, 0x85, 6, 0x87];
    for count in 1..=bytes.len() {
        let mut whole = [0; 8];
        whole[..count].copy_from_slice(&bytes[..count]);
        assert_eq!(word_of(&bytes[..count]), u64::from_le_bytes(whole));
    }
}
