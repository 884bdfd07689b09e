use std::panic::panic_any;

use futures::executor::block_on;
use futures::future::poll_fn;

use super::{Isolated, Unwatched, isolate};

struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[test]
fn a_panic_becomes_its_message() {
    let literal = block_on(isolate(&Unwatched, async { panic!("plain") }));
    let number = 7;
    let formatted = block_on(isolate(&Unwatched, async { panic!("number {number}") }));
    let odd = block_on(isolate(&Unwatched, async { panic_any(7_u8) }));

    assert!(matches!(literal, Isolated::<()>::Panicked(text) if text == "plain"));
    assert!(matches!(formatted, Isolated::<()>::Panicked(text) if text == "number 7"));
    assert!(matches!(odd, Isolated::<()>::Panicked(text) if text == "a panic without a message"));
}

#[test]
fn a_payload_that_panics_when_dropped_is_contained() {
    let ended = block_on(isolate(&Unwatched, async {
        panic_any(Bomb("in the payload"))
    }));

    assert!(matches!(ended, Isolated::<()>::Panicked(_)));
}

#[test]
fn a_future_that_panics_when_dropped_is_contained() {
    let bomb = Bomb("in the future");
    let future = poll_fn(move |_| {
        let _kept = &bomb;
        std::task::Poll::Ready(1)
    });

    let ended = block_on(isolate(&Unwatched, future));

    assert!(matches!(ended, Isolated::Panicked(text) if text == "in the future"));
}

#[test]
fn an_output_passes_through() {
    assert!(matches!(
        block_on(isolate(&Unwatched, async { 5 })),
        Isolated::Done(5)
    ));
}
