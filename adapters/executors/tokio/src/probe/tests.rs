use tokio::runtime::Builder;
use tokio::task::coop::{has_budget_remaining, poll_proceed};

use super::{BUDGET_MAX, is_polling};

#[test]
fn tasks_and_block_on_are_polls_on_every_flavour() {
    let runtime = Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(async { is_polling() }));
    assert!(runtime.block_on(async { tokio::spawn(async { is_polling() }).await.unwrap() }));

    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    assert!(runtime.block_on(async { is_polling() }));
    assert!(runtime.block_on(async { tokio::spawn(async { is_polling() }).await.unwrap() }));
    let local = tokio::task::LocalSet::new();
    let task = local.run_until(async {
        tokio::task::spawn_local(async { is_polling() })
            .await
            .unwrap()
    });
    assert!(runtime.block_on(task));
}

#[test]
fn where_tokio_allows_blocking_there_is_no_poll() {
    assert!(!is_polling());
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    {
        let _entered = runtime.enter();
        assert!(!is_polling());
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the probe is to tell its threads apart"
    )]
    let blocking = async { tokio::task::spawn_blocking(is_polling).await.unwrap() };
    assert!(!runtime.block_on(blocking));
    let in_place = async { tokio::spawn(async { tokio::task::block_in_place(is_polling) }).await };
    assert!(!runtime.block_on(in_place).unwrap());
    assert!(!is_polling());
}

#[test]
fn asking_spends_nothing_of_the_tasks_budget_and_finds_it_spent_too() {
    let count = |runtime: &tokio::runtime::Runtime, asks: usize| {
        runtime.block_on(async {
            for _ in 0..asks {
                assert!(is_polling());
            }
            let mut spent = 0;
            while has_budget_remaining() && spent < BUDGET_MAX {
                std::future::poll_fn(poll_proceed).await.made_progress();
                spent += 1;
            }
            assert!(is_polling());
            spent
        })
    };
    let runtime = Builder::new_current_thread().build().unwrap();
    let untouched = count(&runtime, 0);
    assert!(untouched < BUDGET_MAX);
    assert_eq!(count(&runtime, 3), untouched);
}
