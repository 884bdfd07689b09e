//! A callback that is called at most once.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;

use futures::executor::block_on;
use futures::future::{FusedFuture, FutureExt};

use crate::testing::{Dropped, Wakes};
use crate::{Abandoned, callback_once};

#[test]
fn a_reply_wakes_the_task_and_gives_it_the_value() {
    let (reply, future) = callback_once();
    let mut future = pin!(future);
    let (wakes, waker) = Wakes::new();
    let mut cx = Context::from_waker(&waker);
    assert!(future.as_mut().poll(&mut cx).is_pending());
    assert!(future.as_mut().poll(&mut cx).is_pending());
    assert!(reply.is_awaited());
    assert_eq!(reply.send(7), Ok(()));
    assert_eq!((wakes.count(), reply.is_awaited()), (1, false));
    // The first one wins.
    assert_eq!(reply.send(8), Err(8));
    assert_eq!(future.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
    assert!(future.is_terminated());
    assert_eq!(reply.send(9), Err(9));
}

#[test]
fn a_forgotten_callback_leaves_nobody_hanging() {
    let (reply, future) = callback_once::<u32>();
    let waiting = thread::spawn(move || block_on(future));
    drop(reply);
    assert_eq!(waiting.join().unwrap(), Err(Abandoned));

    let (reply, mut future) = callback_once::<u32>();
    let (wakes, waker) = Wakes::new();
    assert!(
        future
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(reply);
    assert_eq!(wakes.count(), 1);
    assert_eq!(block_on(future), Err(Abandoned));
}

#[test]
fn a_value_that_nobody_takes_is_handed_back_or_dropped_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (reply, future) = callback_once();
    drop(future);
    assert!(!reply.is_awaited());
    assert!(reply.send(Dropped(Arc::clone(&drops))).is_err());
    assert_eq!(drops.load(Ordering::SeqCst), 1);

    let (reply, future) = callback_once();
    assert!(reply.send(Dropped(Arc::clone(&drops))).is_ok());
    drop(reply);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    drop(future);
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

#[test]
fn many_threads_may_answer_and_one_does() {
    for _ in 0..100 {
        let (reply, future) = callback_once();
        let reply = Arc::new(reply);
        let answers: Vec<_> = (0..3)
            .map(|thread| {
                let reply = Arc::clone(&reply);
                thread::spawn(move || reply.send(thread).is_ok())
            })
            .collect();
        drop(reply);
        assert!(block_on(future).is_ok());
        let sent = answers.into_iter().map(|it| it.join().unwrap());
        assert_eq!(sent.filter(|is_sent| *is_sent).count(), 1);
    }
}
