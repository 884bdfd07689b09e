//! What the operating system knows of our threads: ids and names. Linux only; nothing elsewhere.

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
