//! What the operating system knows of our threads: ids and names. Linux only; nothing elsewhere.

use crate::sync::plain::Instant;

/// The name the operating system keeps is cut to this (`TASK_COMM_LEN` without its NUL).
const OS_NAME_BYTES: usize = 15;

/// The first bytes of a name, as many as the operating system keeps.
pub(super) fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(OS_NAME_BYTES)]
}

#[cfg(target_os = "linux")]
pub(super) fn os_ids() -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    tasks
        .filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn os_ids() -> Vec<u32> {
    Vec::new()
}

/// The name the operating system has; empty if the thread is gone or names are not known.
pub(super) fn os_name(os_id: u32) -> String {
    let path = format!("/proc/self/task/{os_id}/comm");
    let name = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// When the thread started, as far as the operating system tells.
#[cfg(target_os = "linux")]
pub(super) fn started_at(os_id: u32) -> Option<Instant> {
    use std::time::Duration;

    use rustix::param::clock_ticks_per_second;
    use rustix::time::{ClockId, clock_gettime};

    let stat = std::fs::read(format!("/proc/self/task/{os_id}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows it is numbers. The start is field 22
    // (proc_pid_stat(5)), in ticks since boot, and the state after the name is field 3.
    let stat = String::from_utf8_lossy(&stat);
    let (_, fields) = stat.rsplit_once(')')?;
    let started: u64 = fields.split_whitespace().nth(22 - 3)?.parse().ok()?;
    let tick_nanos = 1_000_000_000_u64.checked_div(clock_ticks_per_second())?;
    let started = Duration::from_nanos(started.checked_mul(tick_nanos)?);
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::new(
        u64::try_from(now.tv_sec).ok()?,
        u32::try_from(now.tv_nsec).ok()?,
    );
    Instant::now().checked_sub(now.saturating_sub(started))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn started_at(_os_id: u32) -> Option<Instant> {
    None
}

#[cfg(target_os = "linux")]
pub(super) fn current_os_id() -> u32 {
    rustix::thread::gettid()
        .as_raw_nonzero()
        .get()
        .unsigned_abs()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn current_os_id() -> u32 {
    0
}
