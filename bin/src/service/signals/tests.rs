use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::SIGTERM;

use super::{Handler, Signals};

/// The handler as it is before any signal, with the number of the last one as given.
fn caught(last: usize) -> (Handler, Signals) {
    let (sender, arrivals) = async_channel::bounded(2);
    let count = Arc::new(AtomicUsize::new(0));
    let handler = Handler {
        count: Arc::clone(&count),
        last: Arc::new(AtomicUsize::new(last)),
        sender,
    };
    (handler, Signals { count, arrivals })
}

#[test]
fn the_first_two_signals_are_handed_on_whether_their_number_is_known_or_not() {
    for last in [0, usize::try_from(SIGTERM).unwrap()] {
        let (handler, signals) = caught(last);

        handler.signal();
        handler.signal();

        assert_eq!(signals.count(), 2);
        let arrived = [(); 2].map(|()| signals.arrivals.try_recv());
        assert_eq!(arrived, [Ok(1), Ok(2)]);
        // Only the third needs the number, which must still be there then.
        assert_eq!(handler.last.load(Ordering::Relaxed), last);
    }
}
