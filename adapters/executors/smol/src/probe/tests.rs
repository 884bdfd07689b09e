use super::is_polling;

#[test]
fn the_global_executors_threads_poll_and_those_for_blocking_work_do_not() {
    assert!(smol::block_on(smol::spawn(async { is_polling() })));
    #[expect(
        clippy::disallowed_methods,
        reason = "the probe is to tell its threads apart"
    )]
    let blocking = smol::unblock(is_polling);
    assert!(!smol::block_on(blocking));
    assert!(!is_polling());
}

#[test]
fn a_thread_that_is_merely_called_alike_is_none_of_them() {
    for name in ["smol", "smol-", "smol-io", "smol-1-close", "my-smol-1"] {
        let thread = std::thread::Builder::new().name(name.to_owned());
        assert!(!thread.spawn(is_polling).unwrap().join().unwrap(), "{name}");
    }
}
