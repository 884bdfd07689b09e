//! The planted bugs, each with the model that must catch it.
//!
//! A close hook that runs twice is not among them: a `FnOnce` that is taken out of its place cannot
//! be written to do that. The one that is lost is.

/// Bug, model.
#[cfg(mayhem_model = "loom")]
pub(crate) const BUGS: &[(&str, &str)] = &[
    // stream
    (
        "the_lock_is_held_while_waking",
        "a_waker_may_use_the_stream_inline",
    ),
    (
        "a_receive_takes_two_locks",
        "each_pushed_value_arrives_once",
    ),
    (
        "a_dropped_receive_loses_its_values",
        "a_dropped_receive_loses_nothing",
    ),
    ("room_for_one_too_many", "capacity_is_exact"),
    (
        "room_is_looked_for_before_the_notice",
        "waiting_producers_are_told_of_room",
    ),
    (
        "one_of_many_is_told_of_room",
        "waiting_producers_are_told_of_room",
    ),
    (
        "a_displaced_value_vanishes",
        "a_displaced_value_goes_to_its_pusher",
    ),
    (
        "a_permit_is_given_back_in_silence",
        "a_permit_gives_its_room_back",
    ),
    (
        "a_permits_end_is_not_looked_at",
        "the_end_of_a_permit_has_the_consumer_look",
    ),
    (
        "a_task_asks_for_room_without_a_second_look",
        "a_waiting_task_gets_the_room",
    ),
    ("two_tell_the_sdk_at_once", "pause_and_resume_take_turns"),
    (
        "a_pause_overlooks_what_was_taken",
        "a_pause_sees_what_was_just_taken",
    ),
    (
        "a_dropped_reply_wakes_nobody",
        "a_reply_or_its_absence_is_heard",
    ),
    (
        "a_close_wakes_no_producer",
        "waiting_producers_hear_of_the_end",
    ),
    (
        "a_close_wakes_one_producer",
        "waiting_producers_hear_of_the_end",
    ),
    (
        "a_close_wakes_no_consumer",
        "a_waiting_consumer_hears_of_the_end",
    ),
    (
        "a_closed_stream_hands_out_what_it_has",
        "an_overtaking_close_drops_each_value_once",
    ),
    (
        "the_last_sink_leaves_in_silence",
        "the_last_sink_ends_the_stream",
    ),
    (
        "a_refused_close_hook_is_lost",
        "the_close_hook_runs_though_its_pool_ends",
    ),
    // portal
    (
        "a_driver_sleeps_without_a_second_look",
        "a_submission_wakes_the_driver",
    ),
    (
        "a_bell_is_reset_after_the_poll",
        "a_future_wakes_the_driver",
    ),
    ("an_end_makes_no_room_known", "calls_that_wait_get_the_room"),
    (
        "a_dead_driver_takes_work",
        "a_dropped_driver_ends_what_was_accepted",
    ),
    (
        "a_drivers_drop_leaves_a_waiter",
        "calls_that_wait_hear_of_the_drivers_end",
    ),
    (
        "a_wait_is_not_announced",
        "a_waiting_thread_hears_the_outcome",
    ),
    (
        "a_task_waits_without_a_second_look",
        "a_waiting_task_hears_the_outcome",
    ),
    (
        "an_outcome_is_lost_to_a_timeout",
        "an_outcome_is_not_lost_to_a_timeout",
    ),
    (
        "a_cancel_is_told_before_the_drop",
        "a_cancelled_future_is_gone_before_the_news",
    ),
    (
        "a_cancel_finds_no_waker",
        "a_cancel_wakes_a_sleeping_future",
    ),
    (
        "a_late_callback_is_lost",
        "every_callback_runs_before_the_waiter",
    ),
    (
        "a_fruitless_spin_is_trusted",
        "a_spinning_driver_hears_of_work",
    ),
    (
        "the_last_spawned_job_ends_in_silence",
        "spawned_jobs_end_before_the_driver",
    ),
    (
        "a_spawned_job_sleeps_without_a_second_look",
        "a_close_ends_sleeping_spawned_jobs",
    ),
    (
        "a_dead_driver_leaves_its_tasks_asleep",
        "a_dropped_driver_ends_spawned_jobs",
    ),
    (
        "the_last_user_leaves_in_silence",
        "the_last_user_ends_the_portals_thread",
    ),
    (
        "a_portal_is_shared_after_its_last_drop",
        "who_comes_at_the_end_gets_a_live_portal",
    ),
    // pool
    (
        "a_retiring_thread_looks_no_more",
        "accepted_work_runs_though_a_thread_retires",
    ),
    (
        "the_pools_end_wakes_one_thread",
        "idle_threads_hear_of_the_end",
    ),
    (
        "unrun_work_is_forgotten",
        "accepted_work_runs_or_is_reported",
    ),
    (
        "unused_room_is_not_passed_on",
        "room_that_is_not_taken_is_passed_on",
    ),
    (
        "a_running_job_is_told_cancelled",
        "a_cancelled_job_did_not_run",
    ),
    (
        "an_abandoned_job_frees_its_permit",
        "a_permit_is_held_until_the_thread_returns",
    ),
    (
        "an_unused_permit_is_lost",
        "an_unused_permit_goes_to_the_next",
    ),
    (
        "a_thread_at_work_is_relied_on",
        "a_job_may_wait_for_its_own_pool",
    ),
    (
        "a_thread_in_line_is_relied_on",
        "a_permit_is_lent_and_given_back",
    ),
    (
        "a_wish_is_not_told",
        "a_job_may_reach_its_pool_through_a_portal",
    ),
    (
        "a_lender_forgets_its_wake",
        "a_job_may_reach_its_pool_through_a_portal",
    ),
    (
        "a_nested_job_waits_for_room",
        "a_job_may_reach_its_pool_through_a_portal",
    ),
];

/// Bug, scenario. Those that need a particular waker, a consumer that stops reading, or a close at
/// one moment only are left to the models.
#[cfg(mayhem_model = "shuttle")]
pub(crate) const BUGS: &[(&str, &str)] = &[
    ("a_close_wakes_no_producer", "a_service_from_start_to_end"),
    ("a_close_wakes_no_consumer", "a_service_from_start_to_end"),
    (
        "the_last_sink_leaves_in_silence",
        "a_service_from_start_to_end",
    ),
    ("an_end_makes_no_room_known", "a_service_from_start_to_end"),
    (
        "a_driver_sleeps_without_a_second_look",
        "a_service_from_start_to_end",
    ),
    (
        "the_pools_end_wakes_one_thread",
        "a_service_from_start_to_end",
    ),
    ("a_receive_takes_two_locks", "a_stream_in_many_hands"),
    (
        "a_dropped_receive_loses_its_values",
        "a_stream_in_many_hands",
    ),
    ("room_for_one_too_many", "a_stream_in_many_hands"),
    ("a_displaced_value_vanishes", "a_stream_in_many_hands"),
    (
        "a_permit_is_given_back_in_silence",
        "a_stream_in_many_hands",
    ),
    ("two_tell_the_sdk_at_once", "a_stream_in_many_hands"),
    ("a_close_wakes_one_producer", "a_stream_in_many_hands"),
    ("a_bell_is_reset_after_the_poll", "a_portal_in_many_hands"),
    ("a_dead_driver_takes_work", "a_portal_in_many_hands"),
    (
        "a_task_waits_without_a_second_look",
        "a_portal_in_many_hands",
    ),
    ("a_wait_is_not_announced", "a_portal_in_many_hands"),
    ("an_outcome_is_lost_to_a_timeout", "a_portal_in_many_hands"),
    ("a_cancel_is_told_before_the_drop", "a_portal_in_many_hands"),
    ("a_cancel_finds_no_waker", "a_portal_in_many_hands"),
    ("a_late_callback_is_lost", "a_portal_in_many_hands"),
    ("a_retiring_thread_looks_no_more", "a_pool_in_many_hands"),
    ("unrun_work_is_forgotten", "a_pool_in_many_hands"),
    ("unused_room_is_not_passed_on", "a_pool_in_many_hands"),
    ("a_running_job_is_told_cancelled", "a_pool_in_many_hands"),
    ("an_abandoned_job_frees_its_permit", "a_pool_in_many_hands"),
    ("an_unused_permit_is_lost", "a_pool_in_many_hands"),
    ("a_thread_at_work_is_relied_on", "a_pool_in_many_hands"),
    ("a_thread_in_line_is_relied_on", "a_pool_in_many_hands"),
    ("a_nested_job_waits_for_room", "a_pool_in_many_hands"),
    ("a_fruitless_spin_is_trusted", "a_portal_in_many_hands"),
    ("a_lender_forgets_its_wake", "a_pool_in_many_hands"),
    (
        "the_last_spawned_job_ends_in_silence",
        "a_portal_in_many_hands",
    ),
];
