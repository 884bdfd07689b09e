//! The progress line of a terminal, and the end of a reader.

use std::time::{Duration, Instant};

use async_io::Timer;

use crate::service::Announcer;

/// Keeps the progress line up to date for as long as it is driven.
pub(super) async fn show(announcer: &Announcer, length: Duration) {
    let began = Instant::now();
    loop {
        let elapsed = began.elapsed().min(length);
        let verdicts = announcer.verdicts();
        announcer.progress(&format!(
            "{:.0} of {:.0} s  restarted {}  blocked {}  failed {}  lost {}",
            elapsed.as_secs_f32(),
            length.as_secs_f32(),
            verdicts.restarted,
            verdicts.blocked,
            verdicts.failed,
            verdicts.lost
        ));
        Timer::after(EVERY).await;
    }
}

/// Ends when the reader of standard output has gone away.
pub(super) async fn until_closed(announcer: &Announcer) {
    while !announcer.stdout().is_closed() {
        Timer::after(EVERY).await;
    }
}

const EVERY: Duration = Duration::from_millis(200);
