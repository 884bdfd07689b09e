use std::fs;
use std::path::Path;

use smol::block_on;

use super::super::procfs;
use super::*;
use crate::target::Target;

fn pool() -> BlockingPool {
    BlockingPool::builder().name("fleet").threads(2).build()
}

fn shell(script: &str) -> Launch {
    let argv = ["/bin/sh", "-c", script, "sh"].map(str::to_owned);
    Launch::command(&argv, &Target::parse("web-1").unwrap())
}

fn run_shell(script: &str, within: Duration) -> Result<Finished, CommandError> {
    let deadline = Instant::now() + within;
    block_on(run(&pool(), shell(script), "test", deadline))
}

/// Waits until a script has written a whole number.
fn written_pid(file: &Path) -> u32 {
    let patience = Instant::now() + LONG;
    loop {
        assert!(Instant::now() < patience, "{file:?} was not written");
        let text = fs::read_to_string(file).unwrap_or_default();
        match text.strip_suffix('\n') {
            Some(pid) => return pid.parse().unwrap(),
            None => std::thread::yield_now(),
        }
    }
}

fn is_dead(pid: u32) -> bool {
    procfs::stat(pid).unwrap().is_none_or(|stat| stat.is_dead())
}

#[test]
fn what_it_printed_and_how_it_ended_come_back() {
    let finished = run_shell("echo out; echo err >&2; exit 3", LONG).unwrap();

    assert_eq!(finished.end, End::Exited(3));
    assert_eq!(finished.stdout, b"out\n");
    assert_eq!(finished.failure(), "exited with code 3: err");
}

#[test]
fn the_last_line_is_short_and_safe_to_print() {
    assert_eq!(last_line(b""), None);
    assert_eq!(last_line(b"\n \n"), None);
    assert_eq!(last_line(b"one\ntwo\n\n").unwrap(), "two");
    assert_eq!(last_line(b"\x1b[2J\xff").unwrap(), "\\u{1b}[2J\u{fffd}");
    let long = last_line("x".repeat(10_000).as_bytes()).unwrap();
    assert_eq!(long.len(), LINE_CHARACTERS_MAX);
}

#[test]
fn of_a_flood_the_end_is_kept() {
    let finished = run_shell("yes | head -c 1000000; echo end", LONG).unwrap();

    assert!(finished.is_success());
    assert_eq!(finished.stdout.len(), OUTPUT_BYTES_MAX);
    assert!(finished.stdout.ends_with(b"y\nend\n"));
}

#[test]
fn the_timeout_kills_grandchildren_that_hold_the_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!(
        "(trap '' TERM; exec sleep 1000) & echo $! > {}; wait",
        file.display()
    );

    let error = run_shell(&script, Duration::from_millis(500)).unwrap_err();

    assert!(matches!(error, CommandError::TimedOut(_)), "{error}");
    let grandchild = written_pid(&file);
    let patience = Instant::now() + LONG;
    while !is_dead(grandchild) {
        assert!(Instant::now() < patience, "the grandchild lives");
        std::thread::yield_now();
    }
}

#[test]
fn what_a_command_leaves_behind_is_neither_waited_for_nor_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; echo done", file.display());

    let finished = run_shell(&script, LONG).unwrap();

    let left = written_pid(&file);
    let is_alive = !is_dead(left);
    let group = procfs::stat(left).unwrap().unwrap().group;
    kill_group(group).unwrap();
    assert!(finished.is_success());
    assert_eq!(finished.stdout, b"done\n");
    assert!(is_alive);
}

#[test]
fn a_command_that_is_given_up_dies_with_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
    let pool = pool();
    let deadline = Instant::now() + LONG;

    let grandchild = block_on(async {
        let mut running = Box::pin(run(&pool, shell(&script), "test", deadline));
        while !file.exists() {
            let pause = async_io::Timer::after(Duration::from_millis(5));
            select(&mut running, pause).await;
        }
        written_pid(&file)
    });

    let patience = Instant::now() + LONG;
    while !is_dead(grandchild) {
        assert!(Instant::now() < patience, "the grandchild lives");
        std::thread::yield_now();
    }
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let argv = ["/no/such/program".to_owned()];
    let launch = Launch::command(&argv, &Target::parse("web-1").unwrap());

    let error = block_on(run(&pool(), launch, "test", Instant::now() + LONG)).unwrap_err();

    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
